#!/usr/bin/env bash
# Prepare your own corpus, train a bundle of models on it, and maximize its words.
#
#     bash examples/own_corpus.sh CORPUS WORK [EPOCHS]
#
# CORPUS has one folder of recordings for each word; the store, the bundle and the run are written to
# WORK. After an interruption, call it again: every step continues where it stopped.
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
