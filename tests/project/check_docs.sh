#!/usr/bin/env bash
# check_docs.sh ROOT: what the documents name is there. Prints every breach as "file:line: [rule] what", and fails
# when there is one. check_docs_control.sh proves each rule.
#
# link     a relative link in a *.md leads to a file or folder, and its #anchor to a heading there
# tool     ./tools/NAME exists and can be run
# command  `jobrt NAME` is a command of apps/jobrt (in code only: prose may say that jobrt does something)
# example  the README's C++ is, byte for byte, what stands between the [readme] markers of examples/01_enqueue.cpp
set -euo pipefail
cd "$1"
breaches=$(mktemp)
trap 'rm -f "$breaches"' EXIT

mapfile -t documents < <(find . \( -name build -o -name .git -o -name downloads -o -name 'jobrt-demo' \) -prune -o \
    -name '*.md' -print | sed 's|^\./||' | sort)
if [ ${#documents[@]} -eq 0 ]; then
    echo "check_docs.sh: no documents in $1" >&2
    exit 1
fi

# The first word or two of each command, as the tables in apps/jobrt name them; "jobs list" also makes "jobs".
commands=$(find apps/jobrt -name '*.cpp' -exec awk '/std::vector<Command> .*\{$/,/^\}/' {} + |
    grep -oE '\{"[a-z]+( [a-z][a-z-]*)?", "[A-Z]' | cut -d'"' -f2 | sort -u)
commands+=$'\n'$(cut -d' ' -f1 <<<"$commands")

# findings DOCUMENT: what it names, as "line kind text", outside and inside of code.
findings() {
    awk '
    function words(text,   name) {
        while (match(text, /(^|[ \/;&|(])jobrt( [a-z]+)( [a-z][a-z-]*)?/)) {
            name = substr(text, RSTART, RLENGTH)
            text = substr(text, RSTART + RLENGTH)
            sub(/^.*jobrt /, "", name)
            print NR, "command", name
        }
    }
    function tools(text) {
        while (match(text, /\.\/tools\/[A-Za-z0-9_-]+/)) {
            print NR, "tool", substr(text, RSTART, RLENGTH)
            text = substr(text, RSTART + RLENGTH)
        }
    }
    function links(text,   rest) {  # Code between backticks names commands, and its brackets are no links.
        rest = ""
        while (match(text, /`[^`]+`/)) {
            rest = rest substr(text, 1, RSTART - 1) "code"
            code = substr(text, RSTART + 1, RLENGTH - 2)
            text = substr(text, RSTART + RLENGTH)
            words(code)
        }
        rest = rest text
        while (match(rest, /\]\([^)]*\)/)) {
            print NR, "link", substr(rest, RSTART + 2, RLENGTH - 3)
            rest = substr(rest, RSTART + RLENGTH)
        }
    }
    { tools($0) }
    /^ *(```|~~~)/ { fenced = !fenced; next }
    fenced { sub(/#.*/, ""); words($0); next }
    { links($0) }' "$1"
}

# The anchors of a document, as GitHub makes them from its headings.
anchors() {
    awk '/^ *(```|~~~)/ { fenced = !fenced } !fenced && /^#+ / { sub(/^#+ /, ""); print tolower($0) }' "$1" |
        sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

for document in "${documents[@]}"; do
    while read -r line kind text; do
        case $kind in
            link)
                case $text in
                    http://* | https://* | mailto:*) continue ;;
                esac
                path=${text%%#*}
                target=$document
                if [ -n "$path" ]; then target=$(dirname "$document")/$path; fi
                if [ ! -e "$target" ]; then
                    echo "$document:$line: [link] $text leads nowhere"
                elif [ "$path" != "$text" ] && ! anchors "$target" | grep -qxF -- "${text#*#}"; then
                    echo "$document:$line: [link] $text: no such heading"
                fi
                ;;
            tool) if [ ! -x "$text" ]; then echo "$document:$line: [tool] there is no $text"; fi ;;
            command)
                if ! grep -qxF -- "$text" <<<"$commands" && ! grep -qxF -- "${text%% *}" <<<"$commands"; then
                    echo "$document:$line: [command] jobrt has no command $text"
                elif [ "$text" != "${text%% *}" ] && grep -qE "^${text%% *} " <<<"$commands" &&
                    ! grep -qxF -- "$text" <<<"$commands"; then
                    echo "$document:$line: [command] jobrt has no command $text"
                fi
                ;;
        esac
    done < <(findings "$document")
done >>"$breaches"

shown=$(awk '/^```cpp$/ { inside = 1; next } inside && /^```$/ { exit } inside' README.md)
wanted=$(awk '/^\/\/ \[readme\]$/ { inside = !inside; next } inside' examples/01_enqueue.cpp)
if [ -z "$wanted" ] || [ "$shown" != "$wanted" ]; then
    echo "README.md:1: [example] the first C++ differs from examples/01_enqueue.cpp between its [readme] markers" >>"$breaches"
    diff <(echo "$wanted") <(echo "$shown") >>"$breaches" || true
fi

if [ -s "$breaches" ]; then
    cat "$breaches"
    exit 1
fi
echo "${#documents[@]} documents name only what is there"
