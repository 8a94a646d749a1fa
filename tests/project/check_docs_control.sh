#!/usr/bin/env bash
# Proves that check_docs.sh sees each breach: plants one at a time in a small tree of its own, and some harmless
# lookalikes that must not be reported.
set -uo pipefail
check=$(realpath "$(dirname "$0")/check_docs.sh")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0
failed=0

mkdir -p "$tree/docs" "$tree/tools" "$tree/apps/jobrt" "$tree/examples"
printf '#!/bin/sh\n' >"$tree/tools/run"
chmod +x "$tree/tools/run"
cat >"$tree/apps/jobrt/commands.cpp" <<'END'
std::vector<Command> commands() {
    return {{"save", "Saves a video.", {}, {}, save}, {"jobs list", "Lists jobs.", {}, {}, list}};
}
void other() { answer({"error", "No command"}); }
END
printf '// [readme]\nint main() {}\n// [readme]\n' >"$tree/examples/01_enqueue.cpp"

right='int main() {}'
plant() { # LINE…: docs/page.md has these lines, and the README the right example unless $example says otherwise.
    printf '# Title here\n\n```cpp\n%s\n```\n' "${example:-$right}" >"$tree/README.md"
    printf '# One\n' >"$tree/docs/page.md"
    printf '%s\n' "$@" >>"$tree/docs/page.md"
}
verdict() { # OK WHAT SAID
    if [ "$1" = yes ]; then passed=$((passed + 1)); return; fi
    failed=$((failed + 1))
    echo "FAILED: $2"
    echo "  check_docs.sh said: $3"
}
must_see() { # RULE LINE…
    local rule=$1 said
    shift
    plant "$@"
    if said=$(bash "$check" "$tree"); then verdict no "not seen: $*" "$said"; return; fi
    case $said in
        *"[$rule] "*) verdict yes ;;
        *) verdict no "seen as something else than $rule: $*" "$said" ;;
    esac
}
must_pass() { # LINE…
    local said
    plant "$@"
    if said=$(bash "$check" "$tree"); then verdict yes; else verdict no "wrongly reported: $*" "$said"; fi
}

must_see link 'see [here](nowhere.md)'
must_see link 'see [one](../README.md) and [two](../docs/nowhere.md)'
must_see link '[`code`](../lib/nothing.hpp)'
must_see link '![picture](picture.png)'
must_see link '[heading](../README.md#no-such)'
must_see link '[heading](#no-such)'
must_see tool 'run `./tools/walk`'
must_see tool '```sh' './tools/walk # fast' '```'
must_see command 'say `jobrt fly`'
must_see command 'say `jobrt jobs fly`'
must_see command 'not a command: `jobrt error`'
must_see command '```sh' 'ROLE=api jobrt fly URL' '```'
example='int main() { return 1; }' must_see example 'nothing'
example='int main()  {}' must_see example 'nothing'

must_pass 'see [here](../README.md), [there](https://example.org/nowhere.md), [a](../README.md#title-here), [b](#one)'
must_pass '```cpp' 'worker.on([](const Welcome& mail) { return 0; });' '```'
must_pass 'call `[](int) {}` or `a[0](nowhere.md)`'
must_pass 'prose: jobrt saves videos, and jobrt does what ROLE says'
must_pass '`./tools/run` and `jobrt save URL`, `jobrt jobs list --json`, `jobrt --help`, `ROLE=api jobrt`, `jobrt-media`'
must_pass '```sh' 'jobrt save URL   # jobrt does the rest' 'jobrt &' '```'

echo "$passed controls passed, $failed failed"
[ "$failed" -eq 0 ]
