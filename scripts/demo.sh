#!/usr/bin/env bash
# Sets up, outlines a real photograph with the starter weights, draws phantom photographs of four
# centres, trains TVConv without centre A, scores it on centre A, and draws contours. Everything lands
# in ./demo (or the folder given).
EXTRAS="[train]" source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
out=${1:-demo}
if [ -e "$out" ]; then
    echo "$out exists; remove it or name another folder: bash scripts/demo.sh FOLDER" >&2
    exit 1
fi

photograph=$(dirname "${BASH_SOURCE[0]}")/../docs/photograph.jpg
tvseg predict "$photograph" --out "$out/starter"
tvseg data synth "$out/phantoms" --per-centre 24 --size 256
tvseg data check "$out/phantoms"
tvseg train --holdout A --data "$out/phantoms" --config configs/smoke.yaml --out "$out/runs"
tvseg predict "$out/phantoms/Domain1/test/ROIs/image" \
    --model "$out/runs/tvconv-holdout-A-seed0" --out "$out/predictions"
tvseg eval "$out/runs" --data "$out/phantoms"

echo
echo "The photograph with the starter weights' contours: $out/starter/overlays"
echo "Pictures with contours (disc green, cup blue): $out/predictions/overlays"
echo "Masks: $out/predictions/masks    Measurements: $out/predictions/measurements.csv"
