#!/bin/sh
# Reads the sources for what the compilers do not say: the project's own rules, layout, static analysis.
# Every finding is an error. tools/tidy.py keeps what it found clean, so that a second run is quick.
set -eu
cd "$(dirname "$0")/.."
fail=0
part() { # name, command...
    name=$1
    shift
    if "$@"; then
        echo "lint: $name: clean"
    else
        echo "lint: $name: see above"
        fail=1
    fi
}

sources() {
    git ls-files -co --exclude-standard '*.c' '*.h'
}
layout() {
    sources | xargs -d '\n' clang-format-14 --dry-run -Werror
}
scripts() {
    git ls-files -co --exclude-standard '*.sh' .ci/run | xargs -d '\n' shellcheck --severity=warning
}
cppchecked() { # headers of the system are not read, but loops of utlist.h are macros
    cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr -j "$(nproc)" \
        --suppressions-list=tools/cppcheck.txt --library=posix --include=/usr/include/utlist.h -Iinclude -Isrc -DKF_TEST_HOOKS -D_GNU_SOURCE \
        --cppcheck-build-dir=build-test/cppcheck src
}

tools/flavour.sh test
mkdir -p build-test/cppcheck
part "own rules" tools/lint.py
part "layout" layout
part "scripts" scripts
part "clang-tidy" tools/tidy.py
part "cppcheck" cppchecked
exit $fail
