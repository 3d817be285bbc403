#!/usr/bin/env bash
# Trains variants x centres x seeds on real data under a short schedule (250 steps of 15 images,
# some seven minutes each on two cores), one after the other; finished runs are left as they are.
#   bash scripts/train_real.sh DATA ENCODER_WEIGHTS [OUT] [key=value ...]
# Choices by environment: VARIANTS="dense depthwise tvconv" HOLDOUTS="A B C D" SEEDS="0"
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
data=$1 weights=$2 out=${3:-runs}
shift 2
[ $# -eq 0 ] || shift
for seed in ${SEEDS:-0}; do
    for holdout in ${HOLDOUTS:-A B C D}; do
        for variant in ${VARIANTS:-dense depthwise tvconv}; do
            python -m tvseg train --holdout "$holdout" --data "$data" --out "$out" --resume \
                --seed "$seed" aspp="$variant" encoder_weights="$weights" \
                train.epochs=10 train.steps_per_epoch=25 train.images_per_centre=5 "$@"
        done
    done
done
