#!/usr/bin/env bash
# Proves that check_tree.sh sees each breach: plants one at a time in a tree of its own, and
# some harmless lookalikes that must not be reported.
set -uo pipefail
check=$(realpath "$(dirname "$0")/check_tree.sh")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0
failed=0

# plant FILE LINE: a tree whose only code is LINE.
plant() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree/lib" "$tree/apps" "$tree/$(dirname "$1")"
    printf 'int first;\n%s\n' "$2" >"$tree/$1"
    local i
    for ((i = 0; i < ${#others[@]}; i += 2)); do
        mkdir -p "$tree/$(dirname "${others[i]}")"
        printf '%s\n' "${others[i + 1]}" >"$tree/${others[i]}"
    done
}
others=()
also() { others=("$@"); } # FILE LINE …: further files of the trees that follow
verdict() {
    if [ "$1" = yes ]; then passed=$((passed + 1)); return; fi
    failed=$((failed + 1))
    echo "FAILED: $2: $3"
    echo "  check_tree.sh said: $4"
}
must_see() { # RULE FILE LINE
    local said
    plant "$2" "$3"
    if said=$(bash "$check" "$tree"); then verdict no "not seen" "$2: $3" "$said"; return; fi
    case $said in
        "$2:2: [$1] "*) verdict yes ;;
        *) verdict no "seen as something else than $1" "$2: $3" "$said" ;;
    esac
}
must_pass() { # FILE LINE
    local said
    plant "$1" "$2"
    if said=$(bash "$check" "$tree"); then verdict yes; else verdict no "wrongly reported" "$1: $2" "$said"; fi
}

public=lib/include/jobruntime
must_see arrows lib/src/sqlite/store.cpp '#include "http/server.hpp"'
must_see arrows lib/src/sqlite/store.cpp '#include <jobruntime/http.hpp>'
must_see arrows lib/src/core/queue.cpp '#include "sqlite/store.hpp"'
must_see arrows lib/src/core/queue.cpp '#  include <jobruntime/sqlite.hpp>'
must_see arrows lib/src/core/queue.cpp '#include <jobruntime/testing/harness.hpp>'
must_see arrows lib/src/net/fetch.cpp '#include "extract/page.hpp"'
must_see arrows lib/src/extract/page.cpp '#include "media/download.hpp"'
must_see arrows lib/src/http/server.cpp '#include "../net/url.hpp"'
must_see arrows lib/src/http/server.cpp '#include "server.hpp"'
must_see arrows $public/store.hpp '#include <jobruntime/sqlite.hpp>'
must_see arrows $public/media.hpp '#include <jobruntime/extract.hpp>'
must_see arrows $public/worker.hpp '#include "core/transitions.hpp"'
must_see third-party $public/sqlite.hpp '#include <sqlite3.h>'
must_see third-party $public/clock.hpp '#include <boost/json/object.hpp>'
must_see third-party $public/job.hpp '#include <boost/describe.hpp>'
must_see third-party $public/http.hpp '#include <httplib.h>'
must_see third-party $public/httplib.hpp '#include <openssl/ssl.h>'
must_see third-party lib/src/http/server.cpp '#include <httplib.h>'
must_see arrows $public/jobruntime.hpp '#include <jobruntime/httplib.hpp>'
must_see arrows $public/httplib.hpp '#include <jobruntime/http.hpp>'
must_see arrows lib/src/http/server.cpp '#include <jobruntime/httplib.hpp>'
# With more than one file: a header of net has curl in it, directly or through another.
also lib/src/net/curl.hpp '#include <curl/curl.h>'
must_see third-party lib/src/extract/page.cpp '#include "net/curl.hpp"'
also lib/src/net/curl.hpp '#include <curl/curl.h>' lib/src/net/fetch.hpp '#include "net/curl.hpp"'
must_see third-party lib/src/media/download.cpp '#include "net/fetch.hpp"'
also lib/src/net/curl.hpp '#include <curl/curl.h>' lib/src/net/fetch.hpp 'namespace net {}'
must_pass lib/src/media/download.cpp '#include "net/fetch.hpp"'
also
must_see third-party lib/src/sqlite/store.hpp '#include <curl/curl.h>'
must_see third-party lib/src/sqlite/store.cpp '#include <curl/curl.h>'
must_see third-party lib/src/core/queue.cpp '#include <spdlog/spdlog.h>'
must_see process lib/src/net/fetch.cpp 'auto proxy = std::getenv("PROXY");'
must_see process lib/src/core/worker.cpp 'extern char** environ;'
must_see process lib/src/core/worker.cpp '::sigaction(SIGTERM, &action, nullptr);'
must_see process lib/src/core/worker.cpp 'std::signal(SIGPIPE, SIG_IGN);'
must_see process lib/src/core/worker.cpp 'int main(int, char**) {}'
must_see output lib/src/core/worker.cpp 'std::cerr << "lost";'
must_see output lib/src/core/worker.cpp 'std::fprintf(stderr, "lost");'
must_see output lib/src/core/worker.cpp 'std::printf("lost"); // "quoted" \"'
must_see output lib/src/core/worker.cpp 'char quote = 0; quote = '"'\"'"'; perror("x");'
must_see output lib/src/core/worker.cpp '/* one */ ::write(STDERR_FILENO, text, 4); /* two */'
must_see machine docs/tour.md 'see /'home'/ada/jobruntime'
must_see machine tests/unit/test_x.cpp 'open("/'work'/main/x")'

must_pass lib/src/media/download.cpp '#include "net/fetch.hpp"'
must_pass lib/src/extract/page.cpp '#include <jobruntime/net.hpp>'
must_pass lib/src/testing/harness.cpp '#include <jobruntime/worker.hpp>'
must_pass lib/src/core/queue.cpp '#include <boost/json/parse.hpp>'
must_pass lib/src/net/guard.cpp '#include <net/if.h>'
must_pass lib/src/sqlite/store.cpp '#include <sqlite3.h>'
must_pass lib/src/sqlite/statement.hpp '#include <sqlite3.h>'
must_pass $public/job.hpp '#include <boost/json/object.hpp>'
must_pass $public/httplib.hpp '#include <httplib.h>'
must_pass $public/httplib.hpp '#include <jobruntime/blocking_api.hpp>'
must_pass $public/typed.hpp '#include <boost/describe/members.hpp>'
must_pass lib/src/net/fetch.hpp '#include <curl/curl.h>'
must_pass lib/src/core/worker.cpp "$(printf 'auto js = R"js(\nfunction main() { "\\" /* \n)js";')"
must_see output lib/src/core/worker.cpp 'auto js = R"(main() " /*)"; std::puts("x");'
must_pass lib/src/extract/page.cpp 'const Response& main() const { return main_; }'
must_pass lib/src/core/worker.cpp '// never std::cerr nor getenv("X")'
must_pass lib/src/core/worker.cpp 'auto text = "do not call getenv or write to stderr";'
must_pass lib/src/core/worker.cpp 'std::snprintf(text, sizeof text, "%d", domain (1));'
must_pass lib/src/core/child_linux.cpp '::sigaction(signal, &standard, nullptr);'
must_pass apps/host/main.cpp 'auto role = std::getenv("ROLE");'
must_pass docs/tour.md 'https://example.org/work/app and ~/work/x'

echo "$passed controls passed, $failed failed"
[ "$failed" -eq 0 ]
