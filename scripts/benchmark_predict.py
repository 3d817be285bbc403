"""Photographs a second, memory over time, and where the time goes in ``tvseg predict``.

    python scripts/benchmark_predict.py PHOTOGRAPHS [--model RUN] [--count 200] [--roi auto]

Copies the pictures of a folder, each a little brighter or darker than the last, until there are
enough, predicts them in a process of its own, and then times every stage by itself, one thread.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from tvseg.files import write_bytes
from tvseg.inference.input.find import Photograph, find_photographs
from tvseg.inference.input.read import read_photograph
from tvseg.inference.load import load
from tvseg.inference.output.formats import FORMATS
from tvseg.inference.pipeline import Segmentation
from tvseg.inference.prediction import Prediction

T = TypeVar("T")
MEBIBYTE = 2**20


def make_copies(source: Path, folder: Path, count: int) -> list[Path]:
    """Write pictures like those of a folder, no two alike, as JPEG of quality 95."""
    folder.mkdir(parents=True)
    originals = [photograph.path for photograph in find_photographs([source])]
    made = []
    for place in range(count):
        pixels = read_photograph(originals[place % len(originals)])[0]
        gain = 1 + 0.002 * (place // len(originals))
        path = folder / f"{place:04d}.jpg"
        Image.fromarray((pixels * gain).clip(0, 255).astype(np.uint8)).save(path, quality=95)
        made.append(path)
    return made


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM now; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def time_whole(folder: Path, options: argparse.Namespace, out: Path) -> None:
    """Run the command and print its speed and memory."""
    command = [
        *(sys.executable, "-m", "tvseg", "predict", str(folder), "--out", str(out)),
        *(("--model", options.model) if options.model else ()),
        *("--roi", options.roi, "--formats", options.formats),
        *("--workers", str(options.workers), "--batch-size", str(options.batch_size)),
    ]
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    samples: list[tuple[float, float]] = []
    while process.poll() is None:
        samples.append((time.monotonic() - begun, resident_mib(process.pid)))
        time.sleep(0.2)
    seconds = time.monotonic() - begun
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    records = sorted((out / ".progress").glob("*.json"), key=lambda path: path.stat().st_mtime)
    first, last = (path.stat().st_mtime for path in (records[0], records[-1]))
    steady = (options.count - options.batch_size) / max(last - first, 1e-9)
    halves = [
        max(mib for moment, mib in samples if (moment > seconds / 2) == second)
        for second in (False, True)
    ]
    print(
        f"{options.count} photographs in {seconds:.1f} s: {options.count / seconds:.2f} a second,"
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime
    print(f"  {processor:.1f} s of processor time, start-up included")
    print(f"  {steady:.2f} a second between the first batch and the last (start-up left out)")
    print(f"peak memory {max(halves):.0f} MiB; by half {halves[0]:.0f}, {halves[1]:.0f} MiB")


def time_stages(paths: list[Path], options: argparse.Namespace) -> None:
    """Print milliseconds of processor time a photograph, by stage, on one thread."""
    torch.set_num_threads(1)
    pipeline = load(options.model, device="cpu", roi=options.roi).pipeline
    spent = dict[str, float]()

    def timed(stage: str, work: Callable[[], T]) -> T:
        begun = time.thread_time()
        result = work()
        spent[stage] = spent.get(stage, 0.0) + time.thread_time() - begun
        return result

    locate = pipeline.locate
    pipeline = replace(pipeline, locate=lambda images: timed("locate", lambda: locate(images)))
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        size = options.batch_size
        for warm in (True, False):
            for place in range(0, len(paths[: size if warm else 4 * size]), size):
                batch = [Photograph(path.stem, path) for path in paths[place : place + size]]
                pictures = timed("read", lambda b=batch: [read_photograph(p.path) for p in b])  # type: ignore[misc]
                pixels = [picture[0] for picture in pictures]
                segmentations = timed("predict", lambda x=pixels: pipeline(x))  # type: ignore[misc]
                for photograph, picture, one in zip(batch, pictures, segmentations, strict=True):
                    assert isinstance(one, Segmentation)
                    done = Prediction(photograph, *picture, one, pipeline.encoding)
                    timed("measure", lambda d=done: d.measurements)  # type: ignore[misc]
                    for name in options.formats.split(","):
                        content = timed(f"make {name}", lambda n=name, d=done: FORMATS[n].render(d))  # type: ignore[misc]
                        timed("write", lambda c=content: write_bytes(Path(scratch) / "x", c))  # type: ignore[misc]
            if warm:
                spent.clear()
    count = min(4 * size, len(paths))
    spent["predict"] -= spent["locate"]
    for stage, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{1000 * seconds / count:8.1f} ms  {stage}")
    print(f"{1000 * sum(spent.values()) / count:8.1f} ms  together")


def main() -> None:
    """Read the options and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--model", help="by default the starter weights")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--roi", default="auto")
    parser.add_argument("--formats", default="overlay,mask")
    parser.add_argument("--workers", type=int, default=2, help="threads")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--scratch", type=Path, help="where copies and outputs go; removed after")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        paths = make_copies(options.photographs, Path(scratch) / "photographs", options.count)
        sizes = {read_photograph(path)[0].shape[1::-1] for path in paths[:15]}
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
              f"photographs of {sorted(sizes)} px")  # fmt: skip
        time_whole(paths[0].parent, options, Path(scratch) / "out")
        time_stages(paths, options)


if __name__ == "__main__":
    main()
