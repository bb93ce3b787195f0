#!/bin/sh
# make demo: the story of a machine that is thrown away. It ends by itself, in about 15 s.
set -eu
cd "$(dirname "$0")/.."
exec python3 examples/finance/demo.py "$PWD/build/keepfast"
