#!/usr/bin/env bash
# check_tools.sh SOURCE-DIR: what the scripts in tools/ promise, with stand-ins for apt, dpkg, cmake
# and ctest, in a copy of the scripts.
set -uo pipefail
tree=$(mktemp -d)
started=
trap '[ -z "$started" ] || kill "$started" 2>/dev/null; rm -rf "$tree"' EXIT
mkdir -p "$tree/lib" "$tree/apps" "$tree/cmake" "$tree/bin"
cp -r "$1/tools" "$tree/tools"
touch "$tree/CMakeLists.txt"
real_path=$PATH
export PATH=$tree/bin:$PATH
failed=0
checks=0

stub() { printf '#!/bin/bash\n%s\n' "$2" >"$tree/bin/$1"; chmod +x "$tree/bin/$1"; }
expect() { # WHAT COMMAND…
    checks=$((checks + 1))
    "${@:2}" && return
    failed=$((failed + 1))
    printf 'FAILED: %s\nsaid (status %s):\n%s\n' "$1" "$status" "$said"
}
says() { grep -qF -- "$1" <<<"$said"; }
does_not_say() { ! says "$1"; }
last_line() { [ "$(tail -n 1 <<<"$said")" = "$1" ]; }
ends() { [ "$status" -eq "$1" ]; }
try() { said=$("$@" 2>&1); status=$?; }

# tools/deps
stub id 'echo 0'
stub apt-get 'echo "apt-get $*"; case "$*" in *"install -s"*) echo "Remv libboost1.74-dev [1]";; esac'
stub dpkg-query 'shift 2; for p in "$@"; do echo "$p installed"; done'
try "$tree/tools/deps" test
expect "nothing missing: no apt" does_not_say apt-get
expect "nothing missing: success" ends 0
stub dpkg-query 'shift 2; for p in "$@"; do [ $p = libsqlite3-dev ] || echo "$p installed"; done; exit 1'
try "$tree/tools/deps" run
expect "names what it installs" says "installing 1 missing packages with apt: libsqlite3-dev"
expect "asks nothing" says "install -y"
expect "says what will be replaced" says "REPLACED: libboost1.74-dev"
expect "installs it" ends 0
stub id 'echo 1000'
stub sudo 'echo "sudo $1 $2"; exec "$@"'
try "$tree/tools/deps" run
expect "by sudo when not root" says "sudo env DEBIAN_FRONTEND=noninteractive"
try "$tree/tools/deps" everything
expect "an unknown list is a usage error" ends 2
stub apt-get 'case "$*" in *"install -s"*) echo "E: Unable to locate package"; exit 100;; esac'
try "$tree/tools/deps" run
expect "apt's refusal is passed on" ends 1
stub id 'echo 0'
stub dpkg-query 'shift 2; for p in "$@"; do echo "$p installed"; done'

# tools/test
export JOBRT_STANDIN=/bin/true JOBRT_CLIENTS=/bin/true  # So that none is installed from the network.
for program in caddy nginx node npm promtool; do stub $program ''; done
stub cmake 'case " $* " in *" --build "*"${FAIL_BUILD:-nothing}"*) exit 1;; esac'
stub ctest 'echo "  7 - test_browser (Skipped)" | sed "s/^/$SKIP/"; echo; echo "90% tests passed, ${BAD:-0} tests failed out of 10"; exit ${BAD:-0}'
export SKIP=x
try "$tree/tools/test" --quick
expect "quick: one run" last_line "10 passed, 0 failed"
expect "quick: success" ends 0
try "$tree/tools/test"
expect "full: the sum of five runs" last_line "50 passed, 0 failed"
# Without a stand-in for MongoDB, nor a server, half of what a full run is for would be skipped.
standin_as_it_is=$(cat "$tree/tools/standin")
printf '#!/bin/bash\necho "tools/standin: it could not be installed" >&2\nexit 1\n' >"$tree/tools/standin"
JOBRT_STANDIN='' try "$tree/tools/test"
expect "full, no stand-in: a failure" last_line "50 passed, 1 failed"
expect "full, no stand-in: it is said" says "nothing is tried on MongoDB"
JOBRT_STANDIN=/nowhere try "$tree/tools/test"
expect "full, a stand-in that is not there: a failure" last_line "50 passed, 1 failed"
JOBRT_STANDIN='' JOBRT_TEST_MONGODB_URI=mongodb://db.example try "$tree/tools/test"
expect "full, a real server: no stand-in is wanted" last_line "50 passed, 0 failed"
JOBRT_STANDIN='' try "$tree/tools/test" --quick
expect "quick, no stand-in: its tests are skipped" last_line "10 passed, 0 failed"
printf '%s\n' "$standin_as_it_is" >"$tree/tools/standin"
# Nor are tests of clients and proxies that others wrote to be skipped in a full run.
clients_as_they_are=$(cat "$tree/tools/clients")
printf '#!/bin/bash\nexit 1\n' >"$tree/tools/clients"
for python in '' /nowhere; do
    JOBRT_CLIENTS=$python try "$tree/tools/test"
    expect "full, no clients in Python ($python): a failure" last_line "50 passed, 1 failed"
    expect "full, no clients in Python ($python): it is said" says "nothing is tried with clients in Python"
done
JOBRT_CLIENTS='' try "$tree/tools/test" -R something
expect "some, no clients in Python: its tests are skipped" last_line "10 passed, 0 failed"
printf '%s\n' "$clients_as_they_are" >"$tree/tools/clients"
mkdir "$tree/others"
for folder in ${real_path//:/ }; do ln -sf "$folder"/* "$tree/others"; done
rm -f "$tree/others/caddy" "$tree/bin/caddy"
PATH=$tree/bin:$tree/others try "$tree/tools/test"
expect "full, no Caddy: a failure" last_line "50 passed, 1 failed"
expect "full, no Caddy: it is said" says "nothing is tried with caddy"
PATH=$tree/bin:$tree/others try "$tree/tools/test" --quick
expect "quick, no Caddy: its tests are skipped" last_line "10 passed, 0 failed"
stub caddy ''
BAD=3 try "$tree/tools/test" -R something
expect "some: failures are counted" last_line "7 passed, 3 failed"
expect "some: failures fail" ends 1
SKIP='' try "$tree/tools/test" --quick
expect "a skipped test is no passed one" last_line "9 passed, 0 failed"
expect "a skipped test is named" says test_browser
# What ctest's log holds of tests that passed: their counts, their times, and the cases that they skipped.
cat >"$tree/log" <<'END'
1/3 Testing: proof_kill
Output:
kill -9, 3 times
counts: kill -9, 200 times: 0 complaints
Test time = 31.50 sec
Test Passed.
2/3 Testing: test_browser
Output:
skipped: no browser
Test time =   0.10 sec
3/3 Testing: media_helper
Output:
../../tests/unit/media/test_helper.cpp:210: MESSAGE: skipped: JOBRT_FIXTURES is not set
not skipped: this is no mark
Test time =   2.00 sec
END
log_into='while [ "$1" != --test-dir ]; do shift; done; mkdir -p "$2/Testing/Temporary"; cp "'$tree'/log" "$2/Testing/Temporary/LastTest.log"'
stub ctest "$log_into"'; echo "  7 - test_browser (Skipped)"; echo "  8 - test_mute (Skipped)"; echo "100% tests passed, 0 tests failed out of 10"'
export BUILD_ROOT=$tree/build
try "$tree/tools/test" --quick
expect "the counts of a proof that passed are shown" says "proof_kill: kill -9, 200 times: 0 complaints"
expect "a case skipped in a program that passed is named with its reason" says "media_helper: JOBRT_FIXTURES is not set"
expect "a test that was skipped is named with its reason" says "test_browser: no browser"
expect "a test that was skipped without a word is named" says "test_mute"
expect "nothing else is taken for a reason" does_not_say "this is no mark"
slowest() { [ "$(grep -A 1 '^Slowest tests:$' <<<"$said" | tail -n 1)" = "$1" ]; }
expect "the slowest come first" slowest "   31.5 s  proof_kill"
expect "skipped tests are none that passed" last_line "8 passed, 0 failed"
try "$tree/tools/test"
expect "skipped under a sanitizer: the preset is named" says "media_helper: JOBRT_FIXTURES is not set (asan)"
unset BUILD_ROOT
stub ctest 'echo "  7 - test_browser (Skipped)" | sed "s/^/$SKIP/"; echo; echo "90% tests passed, ${BAD:-0} tests failed out of 10"; exit ${BAD:-0}'
FAIL_BUILD=asan try "$tree/tools/test" --full
expect "a broken build in the background is a failure, and the next is built" last_line "40 passed, 1 failed"
# A second try is for full runs, and whoever needed it is named; who failed twice is not among them.
stub ctest 'echo "ctest $*"; echo "1/2 Test  #7: test_shaky .....***Failed  1.0 sec"; echo "    Test  #7: test_shaky ..... Passed  1.0 sec"
    echo "2/2 Test  #8: test_bad .....***Timeout  9.0 sec"; echo "50% tests passed, 1 tests failed out of 2"; printf "\t  8 - test_bad (Timeout)\n"; exit 8'
try "$tree/tools/test" --quick
expect "quick: no second try" does_not_say "--repeat"
try "$tree/tools/test"
expect "full: a second try" says "--repeat until-pass:2"
expect "who needed it is named" says "test_shaky (tsan)"
second_try_of_bad() { grep -A 5 '^Failed at first' <<<"$said" | grep -q test_bad; }
expect "who failed twice did not pass" eval '! second_try_of_bad'
expect "and counts as failed" last_line "5 passed, 5 failed"
proofs_once() { grep -- "-L ^proof" <<<"$said" | grep -qv -- --repeat; }
expect "a proof has one try" proofs_once
stub ctest 'echo "1/1 Test  #7: test_shaky .....***Failed  1.0 sec"; echo "WARNING: ThreadSanitizer: data race (pid=1)"
    echo "    Test  #7: test_shaky ..... Passed  1.0 sec"; echo "100% tests passed, 0 tests failed out of 1"'
try "$tree/tools/test"
expect "what a sanitizer reported counts, though a second try passed" last_line "0 passed, 5 failed"
# The tests of one preset do not begin before its own build has ended, nor wait for that of the next.
stub cmake 'case " $* " in *" --build "*san*) sleep 1;; esac; case " $* " in *" --build "*) echo "built $(basename "$2")" >>"'$tree'/order";; esac'
stub ctest 'echo "tested $(basename "$2")" >>"'$tree'/order"; echo "100% tests passed, 0 tests failed out of 10"'
try "$tree/tools/test" --full
said=$(tr "\n" " " <"$tree/order")
expect "tests run while the next presets are built" says "built dev tested dev built asan tested asan built tsan"
expect "and after their own, the end-to-end tests and the proofs last" says "built tsan tested tsan tested dev tested dev"
stub cmake 'case " $* " in *" --build "*"${FAIL_BUILD:-nothing}"*) exit 1;; esac'
stub ctest 'echo "  7 - test_browser (Skipped)" | sed "s/^/$SKIP/"; echo; echo "90% tests passed, ${BAD:-0} tests failed out of 10"; exit ${BAD:-0}'
FAIL_BUILD=tsan try "$tree/tools/test" --full
expect "a broken build is a failure, the rest runs" last_line "40 passed, 1 failed"
expect "a broken build fails" ends 1
FAIL_BUILD=dev try "$tree/tools/test" --quick
expect "nothing ran: a failure" last_line "0 passed, 1 failed"
stub ctest 'echo "No tests were found!!!"; exit 8'
try "$tree/tools/test" --quick
expect "no tests: a failure" last_line "0 passed, 1 failed"

# tools/run
export BUILD_ROOT=$tree/build
mkdir -p "$tree/build/release/bin" "$tree/build/dev/bin"
printf '#!/bin/bash\necho "jobrt $*"\n' >"$tree/build/release/bin/jobrt"
chmod +x "$tree/build/release/bin/jobrt"
try "$tree/tools/run"
expect "without an argument it is the demo" last_line "jobrt demo"
try "$tree/tools/run" https://example.org/a?b=c --json
expect "with one it saves" last_line "jobrt save https://example.org/a?b=c --json"
FAIL_BUILD=release try "$tree/tools/run"
expect "a broken build runs nothing" does_not_say "jobrt demo"

# tools/dev
mkdir -p "$tree/apps/dashboard"
printf '#!/bin/bash\necho "run $*"\n' >"$tree/apps/dashboard/run"
chmod +x "$tree/apps/dashboard/run"
try "$tree/tools/dev" dashboard
expect "serves the dashboard's sources" says "run dev $tree/build/dashboard"
rm -r "$tree/apps/dashboard"
try "$tree/tools/dev" everything
expect "an unknown role is a usage error" ends 2
printf '#!/bin/bash\ntrap "echo stopped $ROLE; exit 0" TERM\necho "started $ROLE"\nfor i in {1..300}; do sleep 0.1; done\n' \
    >"$tree/build/dev/bin/jobrt"
chmod +x "$tree/build/dev/bin/jobrt"
"$tree/tools/dev" worker >"$tree/dev.log" 2>&1 &
started=$!
await() { # TEXT COUNT: until the log has it so often, for at most 20 s
    local begin=$SECONDS
    while [ "$(grep -cF "$1" "$tree/dev.log")" -lt "$2" ]; do
        [ $((SECONDS - begin)) -lt 20 ] || return 1
        sleep 0.1
    done
}
said="see the log" status=0
expect "it starts the role" await "started worker" 1
expect "it waits" await "waiting for a change" 1
touch "$tree/lib/changed.cpp"
expect "a change stops the old one" await "stopped worker" 1
expect "a change starts a new one" await "started worker" 2
kill -TERM "$started"
expect "it takes its child with it" await "stopped worker" 2
wait "$started"
started=
export PATH=$real_path

echo "$((checks - failed)) checks of tools/ passed, $failed failed"
[ "$failed" -eq 0 ]
