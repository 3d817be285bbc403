"""Time a training step alone and beside busy processes, by threads and by how threads wait.

    python scripts/measure_load.py [--busy 4] [--steps 8] [--threads 1 2]

Each line is another process, since OpenMP reads its settings once. Idle threads spin by default,
and sleep where `tvseg` has set OMP_WAIT_POLICY. The step is that of the TVConv network: 4 images
of 128 px, forward, loss, backward, Adam; median of the steps. Other work on the machine counts as
load; the load before the start is printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

WAITING: dict[str, dict[str, str]] = {"spinning": {}, "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"}}


def train(steps: int) -> None:
    """Print the median seconds of a training step, once for every line that is read."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from tvseg.models import build_model
    from tvseg.training.fit import make_optimizer

    torch.manual_seed(0)
    network = build_model(aspp="tvconv", encoder_weights="none", image_size=128)
    network.to(memory_format=torch.channels_last).train()
    images = torch.randn(4, 3, 128, 128).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(network, 1e-4)

    def step() -> float:
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        logits = network(images)
        loss = binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()
        return time.perf_counter() - start

    for _ in range(2):
        step()
    for _ in sys.stdin:
        print(statistics.median(step() for _ in range(steps)), flush=True)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile."""
    spin = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(threads: int, waiting: str, steps: int, busy: int) -> tuple[float, float]:
    """Return the seconds of a training step in a new process: alone, and beside busy ones."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | WAITING[waiting]
    with subprocess.Popen(
        [sys.executable, __file__, "--train", "--steps", str(steps)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as training:  # fmt: skip

        def ask() -> float:
            if training.stdin is None or training.stdout is None:
                raise RuntimeError("the training has no pipes")
            print(file=training.stdin, flush=True)
            return float(training.stdout.readline())

        alone = ask()
        with busy_processes(busy):
            return alone, ask()


def main() -> None:
    """Print a line for every number of threads and way of waiting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--busy", type=int, default=4, help="busy processes beside the training")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each training")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(given.steps)
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    print(f"threads  waiting   alone, s  beside {given.busy}, s  ratio")
    for threads in sorted(set(given.threads)):
        for name in WAITING:
            alone, loaded = measure(threads, name, given.steps, given.busy)
            row = f"{threads:7}  {name:8}  {alone:8.3f}  {loaded:11.3f}  {loaded / alone:5.1f}"
            print(row, flush=True)


if __name__ == "__main__":
    main()
