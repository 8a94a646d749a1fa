#!/usr/bin/env bash
# consume.sh STEP LINKAGE: installs jobruntime, and builds and runs programs on it as users do.
#
#   install           builds the components and installs them into WORK/LINKAGE/prefix
#   find_package, add_subdirectory, pkg_config, message, symbols, failpoints
#   without NAME      (in place of LINKAGE) all components but one; without mongo also jobrt, which says so
#
# From the environment: SOURCE (this project), WORK (a folder to work in), COMPONENTS and PROGRAMS
# (in dependency order, separated by spaces), APPS (ON when the host component is to be there), BUILD (the build that runs this test).
set -euo pipefail
step=$1
linkage=$2
here=$(dirname "$(realpath "$0")")
prefix=$WORK/$linkage/prefix
shared=OFF
if [ "$linkage" = shared ]; then shared=ON; fi
jobs=$(nproc)
# Quick to compile, and without debug information, so that a compiler cache serves all these builds with the same objects.
common=(-G Ninja --no-warn-unused-cli -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O0 -DCMAKE_C_FLAGS_RELEASE=-O0
    -DCMAKE_EXPORT_COMPILE_COMMANDS=OFF)
if command -v ccache >/dev/null; then
    common+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
without_extras=(-DJOBRUNTIME_TESTS=OFF -DJOBRUNTIME_EXAMPLES=OFF)
quiet() { "$@" >"$WORK/$step-$linkage.log" 2>&1 || { cat "$WORK/$step-$linkage.log"; echo "FAILED: $*"; exit 1; }; }
fail() { echo "FAILED: $*"; exit 1; }
list() { tr ' ' ';' <<<"$*"; }

# run FOLDER: every program of PROGRAMS, in a fresh working directory.
run() {
    local program room
    for program in $PROGRAMS; do
        [ -x "$1/$program" ] || continue
        room=$(mktemp -d "$WORK/run.XXXXXX")
        (cd "$room" && LD_LIBRARY_PATH="$prefix/lib" "$1/$program") || fail "$program ended with status $?"
        rm -rf "$room"
        echo "$program runs"
    done
}

install_components() { # BUILD PREFIX COMPONENT…
    local build=$1 target=$2 component
    shift 2
    rm -rf "$target"
    for component in "$@"; do
        quiet cmake --install "$build" --prefix "$target" --component "$component"
        quiet cmake --install "$build" --prefix "$target" --component "$component-runtime"
    done
}

mkdir -p "$WORK/$linkage"
case $step in
install)
    build=$WORK/$linkage/build
    quiet cmake -S "$SOURCE" -B "$build" "${common[@]}" "${without_extras[@]}" -DBUILD_SHARED_LIBS=$shared \
        -DCMAKE_INSTALL_LIBDIR=lib -DJOBRUNTIME_APPS="$APPS"
    quiet cmake --build "$build" -j "$jobs" --target jobruntime_components
    # Installed in one place and used in another: nothing in it may depend on where it was put.
    install_components "$build" "$WORK/$linkage/first" $COMPONENTS
    rm -rf "$prefix"
    mv "$WORK/$linkage/first" "$prefix"
    [ -f "$prefix/include/jobruntime/result.hpp" ] || fail "headers are not installed"
    [ -f "$prefix/include/jobruntime/httplib.hpp" ] || fail "the header for those who bring cpp-httplib is not installed"
    ;;
find_package)
    build=$WORK/$linkage/find_package
    rm -rf "$build"
    quiet cmake -S "$here/find_package" -B "$build" "${common[@]}" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCOMPONENTS="$(list "$COMPONENTS")" -DPROGRAMS="$(list "$PROGRAMS")"
    quiet cmake --build "$build" -j "$jobs"
    run "$build"
    ;;
add_subdirectory)
    build=$WORK/$linkage/add_subdirectory
    quiet cmake -S "$here/add_subdirectory" -B "$build" "${common[@]}" -DBUILD_SHARED_LIBS=$shared \
        -DJOBRUNTIME="$SOURCE" -DPROGRAMS="$(list "$PROGRAMS")"
    quiet cmake --build "$build" -j "$jobs"
    run "$build"
    ;;
pkg_config)
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    modules=$(for component in $COMPONENTS; do echo "jobruntime-$component"; done | sed 's/^jobruntime-core$/jobruntime/')
    for static in "" --static; do
        # A shared installation has no archives to link statically.
        if [ "$shared$static" = ON--static ]; then continue; fi
        # --static also names what libcurl itself is made of, which its Debian package does not bring along.
        programs=$PROGRAMS
        if [ -n "$static" ]; then programs=${PROGRAMS% every}; fi
        build=$WORK/$linkage/pkg_config$static
        rm -rf "$build"
        mkdir -p "$build"
        quiet make -C "$build" -f "$here/pkg_config/Makefile" -j "$jobs" SOURCES="$here/programs" \
            PROGRAMS="$programs" MODULES="$(tr '\n' ' ' <<<"$modules")" STATIC="$static"
        run "$build"
    done
    if [ "$shared" = ON ] && grep -q -- -lsqlite3 <<<"$(pkg-config --libs jobruntime-sqlite 2>/dev/null)"; then
        fail "a user of the shared library must not link what only the library uses"
    fi
    ;;
message)
    build=$WORK/$linkage/message
    rm -rf "$build"
    if said=$(cmake -S "$here/find_package" -B "$build" "${common[@]}" -DCMAKE_PREFIX_PATH="$prefix" \
        "-DCOMPONENTS=core;nosuch" -DPROGRAMS=core 2>&1); then
        fail "a component that is not built was found"
    fi
    grep -qF "component 'nosuch' is not built in this installation, which has: core" <<<"$(tr -s ' \n' ' ' <<<"$said")" ||
        fail "the message does not say what is missing: $said"
    ;;
symbols)
    # What a shared library shows is jobruntime's own; weak symbols are templates of the standard library and of Boost.
    strangers() { nm -D --defined-only "$1" | grep -E '^[0-9a-f]+ [TDBR] ' | grep -vE ' _Z[A-Z]*N[KVRO]*10jobruntime' || true; }
    for library in "$prefix"/lib/libjobruntime*.so; do
        [ -z "$(strangers "$library")" ] || fail "$library shows: $(strangers "$library" | c++filt)"
        grep -qE 'SONAME.*\.so\.0\.1\]' <<<"$(readelf -d "$library")" || fail "$library has no versioned SONAME"
    done
    grep -qF 'jobruntime::to_string' <<<"$(nm -DC --defined-only "$prefix/lib/libjobruntime.so")" ||
        fail "the core shows nothing: this check would pass on an empty library"
    # The control: a library that hides nothing.
    echo 'namespace jobruntime { struct Job {}; void ours(Job) {} } void leaked(jobruntime::Job) {}' |
        c++ -shared -fPIC -x c++ - -o "$WORK/$linkage/leaky.so"
    grep -qF leaked <<<"$(strangers "$WORK/$linkage/leaky.so")" || fail "a leaked symbol was not noticed"
    if grep -qF ours <<<"$(strangers "$WORK/$linkage/leaky.so")"; then fail "an own symbol was taken for a stranger"; fi
    ;;
failpoints)
    # They are in the build that runs the tests, or this would prove nothing, and in nothing that is installed.
    grep -qs JOBRUNTIME_FAILPOINTS:BOOL=ON "$BUILD/CMakeCache.txt" || { echo "skipped: this build has no failpoints"; exit 77; }
    grep -q failpoint_reached "$BUILD/lib/src/core/"libjobruntime.* || fail "the tests' own build has no failpoints"
    found=$(grep -rl failpoint_reached "$prefix/lib" || true)
    [ -z "$found" ] || fail "installed with failpoints: $found"
    rm -rf "$WORK/$linkage/refused"
    if said=$(cmake --install "$BUILD" --prefix "$WORK/$linkage/refused" 2>&1); then
        fail "a build with failpoints was installed"
    fi
    grep -q 'has failpoints compiled in' <<<"$said" || fail "it was not said why: $said"
    [ ! -e "$WORK/$linkage/refused" ] || fail "something was installed before it was refused"
    ;;
without)
    name=$linkage
    build=$WORK/$name/build
    option=JOBRUNTIME_${name^^}
    quiet cmake -S "$SOURCE" -B "$build" "${common[@]}" "${without_extras[@]}" -DCMAKE_INSTALL_LIBDIR=lib \
        -DJOBRUNTIME_APPS=OFF "-D$option=OFF"
    quiet cmake --build "$build" -j "$jobs" --target jobruntime_components
    quiet cmake --install "$build" --prefix "$prefix"
    left=$(find "$prefix" -name "$name.hpp" -o -name "libjobruntime_$name.*" -o -name "jobruntime-$name*")
    [ -z "$left" ] || fail "without $name there is still: $left"
    [ -f "$prefix/lib/libjobruntime.a" ] || fail "the core is not installed"
    # The programs are made without MongoDB, too, and say so to whoever asks them for one.
    if [ "$name" = mongo ] && [ "$APPS" = ON ]; then
        quiet cmake -S "$SOURCE" -B "$build" -DJOBRUNTIME_APPS=ON
        quiet nice cmake --build "$build" -j "$jobs" --target jobrt
        status=0
        said=$(cd "$WORK/$name" && env -i PATH="$PATH" HOME="$WORK/$name" PORT=0 MONGODB_URI=mongodb://user:s3cret@h/x \
            timeout 60 "$build/bin/jobrt" 2>&1) || status=$?
        [ $status -eq 2 ] || fail "a jobrt without MongoDB that is to use one ended with status $status: $said"
        grep -q 'MONGODB_URI names a MongoDB.*built without MongoDB' <<<"$said" || fail "it was not said why: $said"
        if grep -q s3cret <<<"$said"; then fail "the password was told: $said"; fi
    fi
    ;;
*)
    echo "consume.sh: unknown step $step" >&2
    exit 2
    ;;
esac
