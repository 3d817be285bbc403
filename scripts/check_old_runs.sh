#!/usr/bin/env bash
# Checks that runs of an older version load, predict the same masks and are scored the same. Seven short
# runs are made on phantom photographs with the older code, in a temporary folder or in KEEP, which
# later calls read instead of making them again.
#   bash scripts/check_old_runs.sh [KEEP]
# OLD=COMMIT names another older version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
old=${OLD:-b81c337}
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
keep=$(realpath -m "${1:-$work/keep}")
data=$keep/phantoms
export OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES=

tvseg_of() { # FOLDER OF THE CODE, ARGUMENTS: run that code's command line
    (cd "$work" && PYTHONPATH=$1 python -m tvseg -q "${@:2}" 2>&1) || { echo "failed: ${*:2}" >&2; return 1; }
}

train() { # NAME, HOLDOUT, key=value ...
    tvseg_of "$keep/code" train --holdout "$2" --data "$data" --out "$keep/runs" --device cpu \
        name="$1" encoder_weights=none image_size=128 train.epochs=2 train.steps_per_epoch=15 \
        train.images_per_centre=2 precision=fp32 "${@:3}"
}

score() { # CODE, RUNS, OUTPUTS: predict with and evaluate all runs
    local run
    for run in "$2"/*-seed0; do
        tvseg_of "$1" predict "$data/Domain1/test/ROIs/image" "$data/FullField/image" \
            --model "$run" --out "$3/$(basename "$run")" --formats mask --device cpu
    done
    tvseg_of "$1" predict "$data/FullField/image" --model "$2"/tvconv-holdout-A-seed0 \
        --model "$2"/dense-holdout-A-seed0 --tta --out "$3/ensemble" --formats mask --device cpu
    tvseg_of "$1" eval "$2"/*-holdout-[AB]-seed0 --data "$data" --device cpu
}

if [ ! -e "$keep/made" ]; then
    git rev-parse --quiet --verify "$old^{commit}" >/dev/null || {
        echo "commit $old is missing here; a shallow clone gets it by: git fetch --unshallow" >&2
        exit 1
    }
    mkdir -p "$keep/code"
    git archive "$old" | tar -x -C "$keep/code"
    # what the older code imports and today's does not
    python -m pip install --quiet --disable-pip-version-check --target "$keep/code" 'omegaconf>=2.3,<2.4'
    tvseg_of "$keep/code" data synth "$data" --per-centre 8 --size 128
    train tvconv A
    train tvconv-bf16 A precision=bf16
    train depthwise B aspp=depthwise
    train dense A aspp=dense
    train atrous A aspp_dilation=atrous
    train paper A protocol=paper
    train all none aspp=dense augment=strong
    tvseg_of "$keep/code" train-localizer "$keep/runs/tvconv-holdout-A-seed0" --data "$data" \
        --steps 120 --device cpu
    cp -r "$keep/runs" "$work/old_runs"
    score "$keep/code" "$work/old_runs" "$keep/outputs"
    mv "$work/old_runs" "$keep/scored"
    touch "$keep/made"
fi
cp -r "$keep/runs" "$work/runs"
score "$here" "$work/runs" "$work/outputs"
python scripts/compare_outputs.py "$keep/outputs" "$work/outputs" "$keep/scored" "$work/runs"
