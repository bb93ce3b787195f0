#!/bin/sh
# Measures: tools/bench.sh [PATTERN...], see bench/README.md. Ends with 1 when a target was missed.
set -eu
cd "$(dirname "$0")/.."
tools/flavour.sh bench
exec python3 tools/bench.py "$@"
