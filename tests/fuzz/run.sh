#!/usr/bin/env bash
# run.sh TARGET PROGRAM INPUTS: has libFuzzer make up inputs for a target, for JOBRT_FUZZ_SECONDS (30).
#
# The inputs follow from JOBRT_FUZZ_SEED (1): a tree that has passed passes again, and what a change breaks shows in the
# change that broke it. Who looks for what nobody has found yet says 0, which is another seed each time, and takes long.
#
# It begins with those that are kept in corpus/TARGET and with what earlier runs left in INPUTS/TARGET, which it adds to.
# An input that breaks something is written to INPUTS/TARGET-…; libFuzzer prints a short one in base64, too. It is tried
# before all others until it breaks nothing any more; it then belongs into corpus/TARGET.
set -euo pipefail
target=$1 program=$2 inputs=$3
export JOBRT_FUZZ_TARGET=$target
here=$(dirname "$(realpath "$0")")
corpus=$here/corpus/$target
seconds=${JOBRT_FUZZ_SECONDS:-30}
mkdir -p "$inputs/$target"
words=()
if [ -f "$here/words/$target.dict" ]; then words=(-dict="$here/words/$target.dict"); fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

found=()
for input in "$inputs/$target"-*; do
    if [ -f "$input" ]; then found+=("$input"); fi
done
if [ ${#found[@]} -gt 0 ]; then
    "$program" -timeout=10 "${found[@]}"
    rm "${found[@]}"
fi

# A run under a sanitizer is slow: an input has ten seconds, where a healthy one needs milliseconds.
status=0
"$program" -seed="${JOBRT_FUZZ_SEED:-1}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="$inputs/$target-" "${words[@]}" "$inputs/$target" "$corpus" >"$log" 2>&1 || status=$?
if [ $status -ne 0 ]; then
    tail -n 80 "$log"
    exit $status
fi
executed=$(awk '$1 == "stat::number_of_executed_units:" { print $2 }' "$log")
if [ "${executed:-0}" -eq 0 ]; then
    tail -n 20 "$log"
    echo "run.sh: nothing was executed" >&2
    exit 1
fi
echo "counts: $executed inputs in $seconds s, $(find "$inputs/$target" -type f | wc -l) of them found something new"
