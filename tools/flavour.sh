#!/bin/sh
# Builds one flavour and prints nothing when nothing was to do.
#
#   tools/flavour.sh release   build/        what is installed
#   tools/flavour.sh test      build-test/   with the hooks of src/base/hooks.h, and the tests; not optimized when it is linked
#   tools/flavour.sh asan      build-asan/   tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   tools/flavour.sh tsan      build-tsan/   tests under ThreadSanitizer
#   tools/flavour.sh fuzz      build-fuzz/   fuzz targets (clang, libFuzzer, both sanitizers)
#   tools/flavour.sh bench     build-bench/  release with the programs that measure
#   tools/flavour.sh cover     build-cover/  tests with line coverage
#
# JOBS sets how many compilers run at once (default: the number of processors). A release is optimized again when it is
# linked, by as many as there are processors.
set -eu
cd "$(dirname "$0")/.."
flavour=${1:?flavour}
shift
build=build-$flavour
fast="-Doptimization=3 -Ddebug=true"
# What clang leaves for a linker to optimize, others cannot link.
lto=-Db_lto=true
if "${CC:-cc}" --version | grep -q clang; then
    lto=
fi
# shellcheck disable=SC2086 # of words
case $flavour in
release) build=build; set -- $fast $lto ;;
test) set -- $fast -Dhooks=true -Dtests=true ;;
asan) set -- -Doptimization=1 -Ddebug=true -Db_sanitize=address,undefined -Db_lundef=false -Dhooks=true -Dtests=true ;;
tsan) set -- -Doptimization=1 -Ddebug=true -Db_sanitize=thread -Db_lundef=false -Dhooks=true -Dtests=true ;;
fuzz)
    set -- -Doptimization=1 -Ddebug=true -Db_sanitize=address,undefined -Db_lundef=false -Dhooks=true -Dtests=true \
        -Dfuzzing=true
    export CC=clang-14
    ;;
bench) set -- $fast $lto -Dbench=true ;;
cover) set -- -Doptimization=0 -Ddebug=true -Db_coverage=true -Dhooks=true -Dtests=true ;;
*)
    echo "flavour: unknown: $flavour" >&2
    exit 2
    ;;
esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        exit 1
    }
}

# Which files are there decides targets that list a folder, and whether the program exists. Other options than it was
# set up with are set, too.
listed=$(echo "$@"; ls src/cli/main.c tests/fuzz/fuzz_*.c 2>/dev/null | sha256sum)
if [ ! -f "$build/build.ninja" ]; then
    rm -rf "$build"
    quietly meson setup "$build" "$@"
elif [ "$(cat "$build/.listed" 2>/dev/null)" != "$listed" ]; then
    quietly meson setup --reconfigure "$build" "$@"
fi
echo "$listed" >"$build/.listed"
quietly ninja -C "$build" -j "${JOBS:-$(nproc)}"
