#!/usr/bin/env bash
# check_tree.sh ROOT: the rules of the tree that a compiler does not see. Prints every breach as
# "file:line: [rule] what", and fails when there is one. check_tree_control.sh proves each rule.
#
# arrows       components see the core and never each other; extract and media may see net
# third-party  other people's headers are seen by the one component that stands on them only: they are in its
#              .cpp files, or in private headers that no other component includes
# process      only apps/ reads the environment, handles signals, has a main()
# output       the library never writes to the standard streams
# machine      no file names a folder of the machine it was written on
set -euo pipefail
cd "$1"
breaches=$(mktemp)
code=$(mktemp)
trap 'rm -f "$breaches" "$code"' EXIT

mapfile -t files < <(find lib apps -name '*.hpp' -o -name '*.h' -o -name '*.cpp' -o -name '*.c' | sort)
components="core testing sqlite mongo http httplib net extract media capi host"

# Boost.JSON is the core's; in public headers it stays with those whose values hold it.
json_headers="job event outcome store_values typed api_router job_queue worker extractor testing/harness"

awk -v components="$components" -v json_headers="$json_headers" '
BEGIN {
    split(components, list, " "); for (i in list) known[list[i]] = 1
    split(json_headers, list, " "); for (i in list) json["lib/include/jobruntime/" list[i] ".hpp"] = 1
    own["sqlite"] = "^sqlite3\\.h$"; own["net"] = "^curl/"; own["mongo"] = "^(mongoc|bson)/"; own["media"] = "^openssl/"
    own["http"] = "^zlib\\.h$"; own["httplib"] = "^httplib\\.h$"
    system_headers = "^(sys|linux|netinet|arpa|net|asm)/|^(dirent|dlfcn|errno|fcntl|grp|ifaddrs|limits|malloc|netdb|" \
        "poll|pthread|pwd|sched|semaphore|signal|spawn|stdarg|stddef|stdint|stdio|stdlib|string|strings|termios|" \
        "time|unistd)\\.h$"
}
function breach(rule, what) { printf "%s:%d: [%s] %s\n", FILENAME, FNR, rule, what }
function may_see(from, to) {
    return to == from || to == "core" || (to == "net" && (from == "extract" || from == "media")) || from == "host"
}
FNR == 1 {
    component = ""
    public_header = FILENAME ~ /^lib\/include\//
    split(FILENAME, path, "/")
    if (FILENAME ~ /^lib\/src\//) component = path[3]
    if (public_header) {  # NAME.hpp and NAME/ are a component of that name; the rest is the core.
        component = path[4]; sub(/\.h(pp)?$/, "", component)
        if (!(component in known)) component = "core"
    }
}
component != "" && /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    quoted = $0 ~ /include[ \t]*"/
    header = $0; sub(/^[^<"]*[<"]/, "", header); sub(/[>"].*$/, "", header)
    if (quoted) {
        other = header; sub(/\/.*/, "", other)
        if (header !~ /\// || header ~ /\.\.\// || !(other in known))
            breach("arrows", "write private headers as \"component/file.hpp\", not " header)
        else if (public_header) breach("arrows", "a public header includes the private " header)
        else if (!may_see(component, other)) breach("arrows", component " includes " header ", which is of " other)
        else { from[++edges] = FILENAME; to[edges] = header; line[edges] = FNR }
        next
    }
    if (header ~ /^jobruntime\//) {
        other = header; sub(/^jobruntime\//, "", other); sub(/\/.*|\.h(pp)?$/, "", other)
        if (!(other in known)) other = "core"
        if (!may_see(component, other)) breach("arrows", component " includes " header ", which is of " other)
        next
    }
    if (header !~ /[.\/]/ || header ~ system_headers) next  # The standard library and the system.
    is_json = header ~ /^boost\/json/
    if (public_header) {
        typed = FILENAME == "lib/include/jobruntime/typed.hpp" && header ~ /^boost\/(describe|mp11)/
        # The one header that is for those who have the stranger: nothing else may include either.
        brought = component == "httplib" && header ~ own[component]
        if (!typed && !brought && !(is_json && FILENAME in json)) breach("third-party", "a public header includes " header)
    } else if (is_json) {
        next
    } else if (!(component == "core" && header ~ /^boost\//) && !(component in own && header ~ own[component])) {
        breach("third-party", component " does not stand on " header)
    } else {
        closed[FILENAME] = header
    }
}
END {
    # A header with a stranger in it, itself or through another, stays with its own component.
    do {
        grown = 0
        for (i = 1; i <= edges; i++) if (("lib/src/" to[i]) in closed && !(from[i] in closed)) {
            closed[from[i]] = closed["lib/src/" to[i]]; grown = 1
        }
    } while (grown)
    for (i = 1; i <= edges; i++) {
        split(from[i], mine, "/"); split(to[i], theirs, "/")
        if (("lib/src/" to[i]) in closed && mine[3] != theirs[1])
            printf "%s:%d: [third-party] includes %s, which has %s in it\n", from[i], line[i], to[i], closed["lib/src/" to[i]]
    }
}' "${files[@]}" >>"$breaches"

# What remains without comments and texts, as file:line:code.
awk '
FNR == 1 { in_comment = 0; raw_end = "" }
{
    line = $0
    if (raw_end != "") {  # Inside a raw string of several lines.
        at = index(line, raw_end)
        if (!at) next
        line = "\"\"" substr(line, at + length(raw_end)); raw_end = ""
    }
    while (!in_comment && match(line, /R"[A-Za-z_]*\(/)) {
        before = substr(line, 1, RSTART - 1)
        if (before ~ /\/\//) break
        raw_end = ")" substr(line, RSTART + 2, RLENGTH - 3) "\""
        rest = substr(line, RSTART + RLENGTH)
        at = index(rest, raw_end)
        if (!at) { line = before "\"\""; break }
        line = before "\"\"" substr(rest, at + length(raw_end)); raw_end = ""
    }
    gsub(/\047(\\.|[^\047\\])\047/, "0", line)
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    if (in_comment) { if (!sub(/^.*\*\//, "", line)) next; in_comment = 0 }
    gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", line)
    sub(/\/\/.*/, "", line)
    if (sub(/\/\*.*/, "", line)) in_comment = 1
    if (line !~ /^[ \t]*$/) printf "%s:%d:%s\n", FILENAME, FNR, line
}' "${files[@]}" >"$code"

# forbid RULE PATTERN WHAT [EXCEPT-FILE]: PATTERN in the code of lib/.
forbid() {
    grep -E "^lib/[^:]*:[0-9]+:.*$2" "$code" | grep -vE "^${4:-nothing}:" |
        sed -E "s|^([^:]*:[0-9]+):.*|\1: [$1] $3|" >>"$breaches" || true
}
forbid process '\b(getenv|secure_getenv|setenv|putenv|environ)\b' 'only apps/ reads the environment'
# In a forked child, before exec, the handlers that the parent had are put back to the default.
forbid process '\b(sigaction|signal|sigwait|sigwaitinfo|signalfd) *\(' 'only apps/ handles signals' 'lib/src/core/child_linux\.cpp'
forbid process '\bint +main *\(' 'only apps/ has a main()'
forbid output '\b(cerr|clog|cout|stderr|stdout)\b' 'the library never writes to the standard streams'
forbid output '\b(printf|vprintf|puts|putchar|perror) *\(' 'the library never writes to the standard streams'
forbid output '\bwrite *\( *([12]|STD(OUT|ERR)_FILENO) *,' 'the library never writes to the standard streams'

find . \( -path ./build -o -path ./.git -o -path ./downloads \) -prune -o -type f -print0 |
    xargs -0 grep -HnIE '(^|[^A-Za-z0-9._~/-])/(home|work|Users)/[A-Za-z]' |
    sed -E 's|^\./([^:]*:[0-9]+):.*|\1: [machine] names a folder of one machine|' >>"$breaches" || true

if [ -s "$breaches" ]; then
    cat "$breaches"
    exit 1
fi
echo "${#files[@]} source files keep the rules of the tree"
