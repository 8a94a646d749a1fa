#!/usr/bin/env bash
# check_header.sh COMPILER INCLUDE-DIR: the control of jobruntime_headers_alone. A unit like those
# must compile for a header that includes what it needs, and must not for one that does not.
set -uo pipefail
compiler=$1
include=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/jobruntime"
printf '#pragma once\n#include <string>\nstruct Whole { std::string text; };\n' >"$work/jobruntime/whole.hpp"
printf '#pragma once\nstruct Leaning { std::string text; };\n' >"$work/jobruntime/leaning.hpp"
printf '#include <string>\nstruct Twice { std::string text; };\n' >"$work/jobruntime/twice.hpp"
alone() {
    printf '#include <jobruntime/%s>\n#include <jobruntime/%s>\n' "$1" "$1" >"$work/unit.cpp"
    "$compiler" -std=c++20 -fsyntax-only -I"$work" -I"$include" "$work/unit.cpp" 2>/dev/null
}
alone whole.hpp || { echo "FAILED: a good header does not compile alone"; exit 1; }
alone result.hpp || { echo "FAILED: result.hpp does not compile alone"; exit 1; }
! alone leaning.hpp || { echo "FAILED: a header that needs another before it was not noticed"; exit 1; }
! alone twice.hpp || { echo "FAILED: a header without an include guard was not noticed"; exit 1; }
echo "two good headers pass, two bad ones are noticed"
