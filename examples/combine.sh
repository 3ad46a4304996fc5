#!/usr/bin/env bash
# Every combination of two priors, two objectives and two vocoders on the command line, with options.
#
#     bash examples/combine.sh OUT [WORD]
#
# OUT receives a folder for each. Components of installed plugins are named in the same way; `keras-listen
# plugins` lists all there are.
set -euo pipefail
out=$1
word=${2:-yes}

for prior in ae vae; do
  for objective in logit neuron; do
    for vocoder in griffin-lim none; do
      options=(-o "prior.$prior.pull=0.02")
      # A unit of the last hidden layer has no word; a word's logit has.
      if [ "$objective" = neuron ]; then
        options+=(-o objective.neuron.layer=dense_1 -o objective.neuron.unit=0)
      else
        options+=(--word "$word")
      fi
      [ "$vocoder" = griffin-lim ] && options+=(-o vocoder.griffin-lim.iterations=16)
      keras-listen run --prior "$prior" --objective "$objective" --vocoder "$vocoder" \
        "${options[@]}" --out "$out/$prior-$objective-$vocoder"
    done
  done
done
