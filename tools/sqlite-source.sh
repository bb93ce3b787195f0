#!/bin/sh
# Prints the folder that holds SQLite's source, sqlite3.c and sqlite3.h, checked against packaging/sqlite/sha256sums.
# Fetches the pinned npm package first if the folder is not there; later builds need no network.
set -eu
cd "$(dirname "$0")/.."
cache=${KEEPFAST_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/keepfast}
sums=$PWD/packaging/sqlite/sha256sums
dir=$cache/sqlite-source-$(grep -v '^#' "$sums" | sha256sum | cut -c1-12)

good() { # folder
    [ -f "$1/sqlite3.c" ] && [ -f "$1/sqlite3.h" ] &&
        (cd "$1" && grep -v '^#' "$sums" | sha256sum --check --status --strict -)
}

if ! good "$dir"; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.fetch-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cp packaging/npm/package.json packaging/npm/package-lock.json packaging/npm/.npmrc "$work/"
    echo "setup: fetching SQLite's source (npm package better-sqlite3)" >&2
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1) || {
        tail -n 20 "$work/npm.log" >&2
        echo "sqlite-source: npm ci failed" >&2
        exit 1
    }
    from=$work/node_modules/better-sqlite3/deps/sqlite3
    good "$from" || {
        echo "sqlite-source: the source in the package is not the one in packaging/sqlite/sha256sums" >&2
        exit 1
    }
    mkdir "$work/out"
    cp "$from/sqlite3.c" "$from/sqlite3.h" "$work/out/"
    rm -rf "$dir"
    # A second run at the same time may have been first: then its folder is as good as ours.
    mv -T "$work/out" "$dir" 2>/dev/null || good "$dir"
fi
echo "$dir"
