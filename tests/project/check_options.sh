#!/usr/bin/env bash
# check_options.sh SOURCE-DIR: combinations that cannot be built are refused while configuring,
# by a sentence that names both options.
set -uo pipefail
source_dir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
refused() { # WORDS OPTION…
    local words=$1 said
    shift
    rm -rf "$work/build"
    if said=$(cmake -S "$source_dir" -B "$work/build" -DJOBRUNTIME_TESTS=OFF -DJOBRUNTIME_EXAMPLES=OFF "$@" 2>&1); then
        echo "FAILED: $* was not refused"
        failed=1
    elif ! grep -qF "$words" <<<"$(tr -s ' \n' ' ' <<<"$said")"; then
        printf 'FAILED: %s: "%s" is not in the message:\n%s\n' "$*" "$words" "$said"
        failed=1
    fi
}
refused "JOBRUNTIME_EXTRACT needs JOBRUNTIME_NET" -DJOBRUNTIME_NET=OFF -DJOBRUNTIME_EXTRACT=ON
refused "JOBRUNTIME_MEDIA needs JOBRUNTIME_NET" -DJOBRUNTIME_NET=OFF -DJOBRUNTIME_MEDIA=ON
refused "JOBRUNTIME_APPS needs every component, and JOBRUNTIME_HTTP is off" -DJOBRUNTIME_HTTP=OFF -DJOBRUNTIME_APPS=ON
[ "$failed" -eq 0 ] && echo "three impossible combinations are refused by name"
