#!/bin/sh
# Runs the tests: tools/test.sh [PATTERN...], see tests/README.md.
set -eu
cd "$(dirname "$0")/.."
exec python3 tools/test.py "$@"
