#!/usr/bin/env bash
# From a corpus of your own to its sounds: prepare, train, run.
#
#     bash examples/own_corpus.sh CORPUS WORK [EPOCHS]
#
# CORPUS has one folder of recordings a word; WORK receives the store, the bundle and the run.
# Where it was interrupted, call it again: every step goes on where it stopped.
set -euo pipefail
corpus=$1
work=$2
epochs=${3:-40}
resume=()
[ -e "$work/run" ] && resume=(--resume)

keras-listen prepare "$corpus" "$work/store"
keras-listen train "$work/store" "$work/bundle" --epochs "$epochs"
keras-listen run --bundle "$work/bundle" --prior ae --vocoder griffin-lim --samples 2 \
  --out "$work/run" "${resume[@]}"
