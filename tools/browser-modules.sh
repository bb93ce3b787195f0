#!/bin/sh
# Prints the folder that holds what the tests of the page drive a browser with (packaging/npm/browser). Fetches it first if
# it is not there; later runs need no network.
set -eu
cd "$(dirname "$0")/.."
cache=${KEEPFAST_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/keepfast}
dir=$cache/browser-$(sha256sum packaging/npm/browser/package-lock.json | cut -c1-12)

if [ ! -d "$dir/node_modules/playwright-core" ]; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.fetch-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cp packaging/npm/browser/package.json packaging/npm/browser/package-lock.json packaging/npm/browser/.npmrc "$work/"
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1) || {
        tail -n 20 "$work/npm.log" >&2
        echo "browser-modules: npm ci failed" >&2
        exit 1
    }
    # A second run at the same time may have been first: then its folder is as good as ours.
    mv -T "$work" "$dir" 2>/dev/null || [ -d "$dir/node_modules/playwright-core" ]
fi
echo "$dir"
