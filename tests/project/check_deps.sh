#!/usr/bin/env bash
# check_deps.sh BUILD-DIR [--run] [PACKAGE…]: every header that the build has read and every library that
# it links or that its programs load belongs to one of the packages (default: those of
# tools/deps) or to one that these depend on. Exit status 77 where there is no dpkg to ask.
#
# --run: only what is built from lib/ and apps/, as tools/run builds it; by default from the packages of
# `tools/deps run` alone.
set -euo pipefail
build=$1
shift
list=test
parts=
if [ "${1:-}" = --run ]; then
    list=run
    parts='(lib|apps)/'
    shift
fi
here=$(dirname "$(realpath "$0")")
if ! command -v dpkg-query >/dev/null || ! command -v apt-cache >/dev/null; then
    echo "skipped: this system has no dpkg to ask which package a file belongs to"
    exit 77
fi
if [ ! -f "$build/build.ninja" ]; then
    echo "skipped: $build was not configured for ninja, which knows the headers that were read"
    exit 77
fi
if [ $# -eq 0 ]; then mapfile -t packages < <("$here/../../tools/deps" --list "$list"); else packages=("$@"); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The packages and all that they depend on, of what is installed.
apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "${packages[@]}" | grep -oE '^[A-Za-z0-9][^ ]*' | sort -u >"$work/closure"
architecture=$(dpkg --print-architecture)
while read -r package; do
    for list in "/var/lib/dpkg/info/${package%%:*}.list" "/var/lib/dpkg/info/${package%%:*}:$architecture.list"; do
        if [ -f "$list" ]; then cat "$list"; fi
    done
done <"$work/closure" | sed -E 's|^/(s?bin\|lib[0-9]*)/|/usr/\1/|' | sort -u >"$work/owned"

# Headers, as the compiler reported them to ninja.
ninja -C "$build" -t deps | awk -v parts="^$parts" '
    /^[^ ]/ { wanted = $0 ~ parts; next }
    wanted && /^ +\// { sub(/^ +/, ""); print }' >"$work/used"
# Libraries named on link lines: by path, or by -l as the linker would find them.
awk -v parts=" $parts[^ ]*CMakeFiles/" '
    /^build / {
        inputs = $0
        sub(/ \|\|? .*/, "", inputs)
        wanted = inputs ~ /: C(XX)?_[A-Z_]*LINKER__/ && inputs ~ parts
        if (wanted) print "made", substr($2, 1, length($2) - 1)
    }
    wanted && /^ +LINK_LIBRARIES = / { for (i = 3; i <= NF; ++i) print "link", $i }' "$build/build.ninja" >"$work/linking"
sed -nE 's/^link //p' "$work/linking" | sort -u >"$work/links"
grep -E '^/.*\.(so|a)[.0-9]*$' "$work/links" >>"$work/used" || true
for library in $(sed -nE 's/^-l(.+)/\1/p' "$work/links"); do
    for file in "lib$library.so" "lib$library.a"; do
        found=$(g++ -print-file-name="$file")
        if [ "${found#/}" != "$found" ]; then echo "$found"; break; fi
    done
done >>"$work/used"
# Libraries that the programs load.
sed -nE 's/^made //p' "$work/linking" | (cd "$build" && xargs -r ls -d 2>/dev/null; true) |
    sed "s|^|$build/|" | xargs -r -d '\n' -n 50 ldd 2>/dev/null | sed -nE 's|^.*[ \t](/[^ ]+) \(0x[0-9a-f]+\)$|\1|p' >>"$work/used" || true

# Links are followed, because a package owns files; /lib is /usr/lib whatever dpkg wrote down.
source_dir=$(realpath "$here/../..")
build=$(realpath "$build")
sort -u "$work/used" | xargs -r -d '\n' realpath -m | sort -u |
    grep -vE "^($source_dir|$build)/" >"$work/files" || true
if [ ! -s "$work/files" ]; then
    echo "nothing was built in $build: build first"
    exit 1
fi
sed -E 's|^/(s?bin\|lib[0-9]*)/|/usr/\1/|' "$work/files" | sort -u >"$work/asked"
comm -23 "$work/asked" "$work/owned" >"$work/strangers"
if [ -s "$work/strangers" ]; then
    echo "The build used files of no package in tools/deps, nor of one that these depend on:"
    while read -r file; do
        owner=$(dpkg-query -S "$file" 2>/dev/null || dpkg-query -S "${file#/usr}" 2>/dev/null || true)
        echo "  $file (${owner%%: *})"
    done < <(head -20 "$work/strangers")
    echo "$(wc -l <"$work/strangers") files in all"
    exit 1
fi
echo "$(wc -l <"$work/asked") headers and libraries belong to $(wc -l <"$work/closure") packages"
