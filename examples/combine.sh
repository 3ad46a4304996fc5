#!/usr/bin/env bash
# Combine priors, objectives and vocoders on the command line, with options of each.
#
#     bash examples/combine.sh OUT [WORD]
#
# Writes a folder to OUT for each combination. Components of installed plugins are selected in the same
# way; `keras-listen plugins` lists all components with their options.
set -euo pipefail
out=$1
word=${2:-yes}

listen() {
  local prior=$1 objective=$2 vocoder=$3
  shift 3
  keras-listen run --prior "$prior" --objective "$objective" --vocoder "$vocoder" "$@" \
    --out "$out/$prior-$objective-$vocoder"
}

listen ae logit griffin-lim --word "$word" -o vocoder.griffin-lim.iterations=16
listen vae softmax griffin-lim --word "$word" -o prior.vae.learned_pull=0.1
listen none logit none --word "$word" -o prior.none.start_deviation=0.05
# A unit of a hidden layer has no word.
listen vae neuron none -o objective.neuron.layer=dense_1 -o objective.neuron.unit=0
