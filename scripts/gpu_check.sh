#!/usr/bin/env bash
# Test TVConv's Triton kernel on a GPU and time it beside torch's depthwise convolution.
#
#     bash scripts/gpu_check.sh [OUT]        OUT: folder for the CSV and the plot, default gpu_check
#
# Run from the repository's root on a machine with one NVIDIA GPU, in an environment with torch,
# triton, a C compiler, pytest, click, rich, pandas and matplotlib; it installs nothing. Takes up to
# 4 minutes: each part has a time limit, and the benchmark runs even if a test fails. Exit code: 0
# if both parts passed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out="${1:-gpu_check}"
mkdir -p "$out"
export PYTHONPATH="$PWD" TVSEG_TEST_CUDA=1 TRITON_INTERPRET=0
export CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-0}"

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
python - <<'END' || exit 1
import sys, torch, triton
assert torch.cuda.is_available(), "torch finds no GPU"
print("python", sys.version.split()[0], "torch", torch.__version__, "triton", triton.__version__)
END

failed=0
timeout 85 python -W "error:TVConv runs in plain torch:RuntimeWarning" -m tvseg bench operator \
    --device cuda --threads 8 --rounds 20 --out "$out" || failed=1

# Nearly all the time goes into compiling: several processes, one for each core.
numerics=tests/ops/kernels/triton_numerics.py
parts=(
    "channels_last_cases" "contiguous_cases" "many_tiles or every_"
    "not cases and not many_tiles and not every_"
)
pids=()
for part in "${!parts[@]}"; do
    timeout 130 python -m pytest -q -p no:cacheprovider --durations 3 -k "${parts[$part]}" \
        "$numerics" >"$out/tests_$part.txt" 2>&1 &
    pids+=($!)
done
timeout 130 python -m pytest -q -p no:cacheprovider \
    tests/bench/test_operator_bench.py::test_rows_on_a_gpu || failed=1
for part in "${!parts[@]}"; do
    wait "${pids[$part]}" || { failed=1; grep -E "^(E  |FAILED|ERROR)" "$out/tests_$part.txt" | head -20; }
    echo "tests, ${parts[$part]}: $(tail -n 1 "$out/tests_$part.txt")"
done
exit $failed
