#!/usr/bin/env bash
# check_debian.sh SOURCE WORK: makes the Debian packages, unpacks them into a root of their own, builds and runs a
# consumer against the development files there, and lets the unpacked jobrt run a job. Exit status 77 without dpkg.
set -euo pipefail
source_dir=$1
work=$2
for tool in dpkg-deb dpkg-shlibdeps; do
    if ! command -v $tool >/dev/null; then
        echo "skipped: there is no $tool to make Debian packages with"
        exit 77
    fi
done
service=
trap '[ -z "$service" ] || kill "$service" 2>/dev/null' EXIT
mkdir -p "$work/packages"
fail() { echo "FAILED: $*"; exit 1; }
quiet() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "$*"; }; }

# The flags of tests/consumers, so that the compiler cache serves both; otherwise it is what the preset makes.
common=(-G Ninja --no-warn-unused-cli -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O0 -DCMAKE_C_FLAGS_RELEASE=-O0
    -DCMAKE_EXPORT_COMPILE_COMMANDS=OFF)
if command -v ccache >/dev/null; then
    common+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
build=$work/packages/build # As deep as those of tests/consumers: the compiler cache sees relative paths.
rm -rf "$build"/*.deb
quiet cmake -S "$source_dir" -B "$build" "${common[@]}" -DBUILD_SHARED_LIBS=ON -DCMAKE_INSTALL_PREFIX=/usr \
    -DJOBRUNTIME_TESTS=OFF -DJOBRUNTIME_EXAMPLES=OFF
quiet cmake --build "$build" -j "$(nproc)" --target package
shopt -s nullglob
libraries=("$build"/libjobruntime0.*.deb) development=("$build"/libjobruntime-dev_*.deb) programs=("$build"/jobrt_*.deb)
[ ${#libraries[@]} -eq 1 ] && [ ${#development[@]} -eq 1 ] && [ ${#programs[@]} -eq 1 ] ||
    fail "not one package each: $(cd "$build" && ls -- *.deb)"

# What each says about itself.
field() { dpkg-deb -f "$1" "$2"; }
version=$(field "${programs[0]}" Version)
depends_on() { # DEB FIELD WHAT…
    local said
    said=$(field "$1" "$2")
    for what in "${@:3}"; do
        grep -qE "(^|, )$what( |,|$)" <<<"$said" || fail "$(basename "$1") has no $what in $2: $said"
    done
}
library=$(field "${libraries[0]}" Package)
depends_on "${libraries[0]}" Depends libc6 libsqlite3-0 'libcurl4(t64)?' 'libstdc\+\+6'
depends_on "${programs[0]}" Depends "$library" adduser 'libavcodec[0-9]+' 'libavformat[0-9]+'
depends_on "${programs[0]}" Recommends chromium
depends_on "${development[0]}" Depends "$library" libboost-json1.81-dev
grep -qF "$library (= $version)" <<<"$(field "${programs[0]}" Depends)" || fail "jobrt may meet another version of $library"
if grep -q libav <<<"$(field "${libraries[0]}" Depends)"; then fail "the libraries depend on libav"; fi
[ "$(dpkg-deb --ctrl-tarfile "${programs[0]}" | tar -xO ./conffiles)" = /etc/default/jobrt ] || fail "conffiles is wrong"
for script in postinst prerm postrm; do
    dpkg-deb --ctrl-tarfile "${programs[0]}" | tar -xO "./$script" | sh -n || fail "$script is no shell script"
done
dpkg-deb --ctrl-tarfile "${libraries[0]}" | tar -xO ./triggers | grep -q ldconfig || fail "no ldconfig after the libraries"
files() { dpkg-deb -c "$1" | awk '!/\/$/ { print $6 }'; }
twice=$(for deb in "${libraries[0]}" "${development[0]}" "${programs[0]}"; do files "$deb"; done | sort | uniq -d)
[ -z "$twice" ] || fail "in two packages: $twice"
foreign=$(dpkg-deb -c "${programs[0]}" | awk '$2 != "root/root"')
[ -z "$foreign" ] || fail "not owned by root: $foreign"

# Unpacked as dpkg would; check_scripts.sh runs the maintainer scripts.
root=$work/root
rm -rf "$root"
for deb in "${libraries[0]}" "${development[0]}" "${programs[0]}"; do dpkg-deb -x "$deb" "$root"; done
for file in usr/bin/jobrt usr/bin/jobrt-api usr/bin/jobrt-worker usr/bin/jobrt-combined usr/bin/jobrt-media \
    usr/share/man/man1/jobrt.1.gz usr/share/doc/jobrt/runbook.md usr/share/doc/jobrt/examples/nginx.conf etc/default/jobrt usr/include/jobruntime/job_queue.hpp \
    lib/systemd/system/jobrt.service lib/systemd/system/jobrt-api.service lib/systemd/system/jobrt-worker.service; do
    [ -f "$root/$file" ] || [ -f "$root/usr/$file" ] || fail "no package has $file"
done
zcat "$root/usr/share/man/man1/jobrt.1.gz" | grep -q '^.TH jobrt 1' || fail "the man page is none"
libdir=$(dirname "$(find "$root/usr/lib" -name libjobruntime.so)")
readelf -d "$root/usr/bin/jobrt" "$libdir"/*.so | grep -E 'R(UN)?PATH' && fail "a program looks for libraries in the build folder"
unset LD_LIBRARY_PATH
under_root() { LD_LIBRARY_PATH=$libdir "$@"; }
missing=$(under_root ldd "$root"/usr/bin/jobrt* "$libdir"/*.so | grep 'not found' || true)
[ -z "$missing" ] || fail "$missing"

# A consumer, found by CMake and by pkg-config, with nothing but what the packages brought.
mapfile -t components < <(cd "$libdir/cmake/jobruntime" && ls jobruntime-*-needs.cmake | sed -E 's/jobruntime-(.*)-needs.cmake/\1/')
quiet cmake -S "$source_dir/tests/consumers/find_package" -B "$work/consumer" "${common[@]}" --fresh \
    -DCMAKE_PREFIX_PATH="$root/usr" -DCOMPONENTS="$(IFS=';'; echo "${components[*]}")" -DPROGRAMS="core;sqlite;every"
quiet cmake --build "$work/consumer" -j "$(nproc)"
room=$(mktemp -d "$work/run.XXXXXX")
for program in core sqlite every; do
    (cd "$room" && under_root "$work/consumer/$program") || fail "the consumer $program ended with status $?"
done
rm -rf "$work/by_pkg_config"
mkdir "$work/by_pkg_config"
PKG_CONFIG_PATH=$libdir/pkgconfig quiet make -C "$work/by_pkg_config" -f "$source_dir/tests/consumers/pkg_config/Makefile" \
    SOURCES="$source_dir/tests/consumers/programs" PROGRAMS="core sqlite" MODULES="jobruntime jobruntime-sqlite" STATIC=
(cd "$room" && under_root "$work/by_pkg_config/sqlite") || fail "the consumer by pkg-config ended with status $?"

# The programs as installed: they serve, run a job, and stop.
env -i LD_LIBRARY_PATH="$libdir" PATH="$PATH" HOME="$room" PORT=0 JOBRT_STORE="sqlite:$room/jobs.db" \
    JOBRT_DOWNLOAD_DIR="$room/downloads" JOBRT_GRACE_MS=500 "$root/usr/bin/jobrt" >"$room/out" 2>"$room/err" &
service=$!
for _ in {1..200}; do
    if grep -qs '"ready":true' "$room/out"; then break; fi
    kill -0 "$service" 2>/dev/null || { cat "$room/err"; fail "the installed jobrt did not start"; }
    sleep 0.1
done
port=$(sed -nE 's|.*http://127.0.0.1:([0-9]+).*|\1|p' "$room/out")
made=$(curl -sS -H 'content-type: application/json' -d '{"kind":"demo.echo"}' "http://127.0.0.1:$port/api/jobs")
id=$(sed -nE 's/.*"id":"([0-9a-f-]{36})".*/\1/p' <<<"$made")
[ -n "$id" ] || fail "no job was made: $made"
for _ in {1..100}; do
    job=$(curl -sS "http://127.0.0.1:$port/api/jobs/$id")
    if grep -q '"status":"completed"' <<<"$job"; then break; fi
    sleep 0.1
done
grep -q '"status":"completed"' <<<"$job" || fail "the job did not complete: $job"
kill -TERM "$service"
wait "$service" || fail "the installed jobrt ended with status $?"
service=
rm -rf "$room"
echo "$(basename "${libraries[0]}"), $(basename "${development[0]}"), $(basename "${programs[0]}"):" \
    "three consumers run on them, and jobrt has run a job"
