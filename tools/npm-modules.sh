#!/bin/sh
# Prints the folder that holds the npm packages of packaging/npm/NAME. Fetches them first if it is not there; later runs need no
# network.
#
#   tools/npm-modules.sh browser   what the tests of the page drive a browser with
#   tools/npm-modules.sh peers     what the figures are measured beside
set -eu
cd "$(dirname "$0")/.."
name=${1:?name}
from=packaging/npm/$name
cache=${KEEPFAST_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/keepfast}
dir=$cache/$name-$(sha256sum "$from/package-lock.json" | cut -c1-12)

if [ ! -d "$dir/node_modules" ]; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.fetch-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cp "$from/package.json" "$from/package-lock.json" "$from/.npmrc" "$work/"
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1) || {
        tail -n 20 "$work/npm.log" >&2
        echo "npm-modules: npm ci failed" >&2
        exit 1
    }
    # A second run at the same time may have been first: then its folder is as good as ours.
    mv -T "$work" "$dir" 2>/dev/null || [ -d "$dir/node_modules" ]
fi
echo "$dir"
