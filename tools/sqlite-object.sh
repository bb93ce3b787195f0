#!/bin/sh
# Compiles SQLite once for each combination of source, compiler and flags, and keeps the object outside the build folder:
# it takes most of a minute, which `make clean` should not cost.
#
#   tools/sqlite-object.sh FLAVOUR SOURCE-DIR OUTPUT.o COMPILER [FLAGS...]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
flavour=$1 source=$2 out=$3
shift 3
cache=${KEEPFAST_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/keepfast}

# shellcheck disable=SC2046 # one flag a word
set -- "$@" $(sed -e '/^#/d' -e '/^$/d' "$top/packaging/sqlite/flags")
key=$({
    cat "$source/sqlite3.c" "$source/sqlite3.h"
    "$1" --version
    echo "$@"
} | sha256sum | cut -c1-16)
kept=$cache/sqlite-object-$flavour-$key

mkdir -p "$kept"
# Two builds at once compile it once.
exec 9>"$kept/lock"
flock 9
if [ ! -f "$kept/sqlite3.o" ]; then
    work=$(mktemp "$kept/.sqlite3-XXXXXX.o")
    trap 'rm -f "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    "$@" -w -ffile-prefix-map="$source"=sqlite -ffile-prefix-map="$PWD"=. -c "$source/sqlite3.c" -o "$work"
    mv "$work" "$kept/sqlite3.o"
fi
exec 9>&-
cp "$kept/sqlite3.o" "$out"
