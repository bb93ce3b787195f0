#!/bin/sh
# libkeepfast.a: all objects of a static library as one, in which only names that begin with kf_ are global.
# What a compiler left there for another run of itself is taken out: that another one could not read.
#
#   tools/prelink.sh LD OBJCOPY AR INPUT.a OUTPUT.a
set -eu
ld=$1 objcopy=$2 ar=$3 input=$4 output=$5
object=$output.keepfast.o
trap 'rm -f "$object"' EXIT
"$ld" -r --whole-archive "$input" -o "$object"
"$objcopy" --localize-hidden --wildcard --keep-global-symbol='kf_*' \
    --remove-section='.gnu.lto_*' --remove-section='.gnu.debuglto_*' --remove-section=.llvm.lto "$object"
rm -f "$output"
"$ar" rcsD "$output" "$object"
