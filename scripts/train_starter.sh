#!/usr/bin/env bash
# Trains the starter weights and their localizer on drawn photographs alone, and puts both into
# tvseg/weights: 3000 steps of 12 regions of 256 px, two and a half hours on two cores.
#   bash scripts/train_starter.sh ENCODER_WEIGHTS [--out RUNS] [--seed N] [--device DEVICE]
# ENCODER_WEIGHTS: MobileNetV2's of ImageNet, a file or 'imagenet' (from the model hub). An interrupted
# training is continued. WORKERS=2 processes draw; their number does not change the result.
set -euo pipefail
if [ $# -lt 1 ]; then
    sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
weights=$1 out=runs seed=1 device=()
shift
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$2 ;;
        --seed) seed=$2 ;;
        --device) device=(--device "$2") ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
workers=${WORKERS:-2}
# glibc keeps the memory of one step for the next, rather than have the kernel clear it again.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8000000000
run=$out/starter-holdout-none-seed$seed
python -m tvseg train --holdout none --out "$out" --resume --seed "$seed" "${device[@]}" \
    name=starter aspp=depthwise phantoms=1 init=null encoder_weights="$weights" precision=fp32 \
    train.epochs="${EPOCHS:-12}" train.steps_per_epoch="${STEPS:-250}" train.images_per_centre=12 \
    train.drop_at=0.7 train.drop_factor=0.1 train.workers="$workers"
python -m tvseg train-localizer "$run" --seed "$seed" --steps "${LOCALIZER_STEPS:-400}" \
    --workers "$workers" "${device[@]}"
python scripts/pack_starter.py "$run"
