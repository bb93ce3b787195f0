#!/bin/sh
# make demo: the story of a machine that is thrown away and a git host that keeps its state. It ends by itself, in some 10 s.
set -eu
cd "$(dirname "$0")/.."
exec python3 examples/finance/demo.py "$PWD/build/keepfast"
