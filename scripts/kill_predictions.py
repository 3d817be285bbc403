"""Kill an actor of Ray, then the driver, and compare what is left with one process's tables.

    python scripts/kill_predictions.py [--count 2000] [--jobs 2] [--scratch DIR]

Draws photographs of 512 px with every kind of bad file among them, predicts them in one process,
and by Ray: an actor is killed at a fifth, the driver at two fifths, and the command is given again.
Every photograph must be in the merged tables once, and the tables be the same bytes. Then all are
predicted once more by a process for each shard, and by Ray without a kill, to compare their speed.
Memory and speed are those after the first quarter of the photographs.
"""

import argparse
import csv
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tvseg.data.phantoms.random.draw import draw_random_field

SIDE_PX = 512
DRAWN = 40  # different photographs; the others are a little brighter or darker
BAD_EVERY = 25
MEBIBYTE = 2**20


def make_photographs(folder: Path, count: int) -> None:
    """Write photographs, every 25th a file that cannot be predicted."""
    folder.mkdir(parents=True)
    fields = [
        draw_random_field(np.random.default_rng([7, number]), side_px=SIDE_PX).image
        for number in range(min(count, DRAWN))
    ]
    for number in range(count):
        gain = 1 + 0.004 * (number // DRAWN % 50)
        pixels = (fields[number % DRAWN] * gain).clip(0, 255).astype(np.uint8)
        path = folder / f"{number:06d}.jpg"
        Image.fromarray(pixels).save(path, quality=95)
        if number % BAD_EVERY == BAD_EVERY - 1:
            spoil(path, number // BAD_EVERY)


def spoil(path: Path, kind: int) -> None:
    """Make a bad file of a good one; there are nine kinds."""
    content = path.read_bytes()
    path.unlink()
    match kind % 9:
        case 0:
            path.write_bytes(content[: len(content) // 2])
        case 1:
            path.write_bytes(b"")
        case 2:
            path.write_text("this is a text")
        case 3:
            path.with_suffix(".dcm").write_bytes(content)
        case 4:
            Image.new("RGB", (1, 1)).save(path.with_suffix(".png"))
        case 5:
            Image.new("1", (20_000, 20_000)).save(path.with_suffix(".png"))
        case 6:
            path.symlink_to(f"nowhere-{path.name}")
        case 7:
            pages = [Image.new("RGB", (64, 64)) for _ in range(2)]
            pages[0].save(path.with_suffix(".tif"), save_all=True, append_images=pages[1:])
        case 8:
            Image.fromarray(np.zeros((40, 40), np.float32)).save(path.with_suffix(".tif"))


def command(source: Path, out: Path, *words: str) -> list[str]:
    """Return the words of tvseg predict."""
    base = (sys.executable, "-m", "tvseg", "predict", str(source), "--out", str(out))
    return [*base, "--formats", "none", "--workers", "1", "--device", "cpu", *words]


def start(words: list[str]) -> "subprocess.Popen[bytes]":
    """Start a command whose output nobody reads."""
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rows_written(out: Path) -> int:
    """Return about how many photographs have a row."""
    from pyarrow.parquet import read_metadata

    return sum(read_metadata(path).num_rows for path in (out / "rows").glob("*.parquet"))


def actors_of(driver: int) -> list[int]:
    """Return the processes of the actors that a driver's own cluster runs."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            )
            names[int(folder.name)] = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
        except (OSError, IndexError, ValueError):
            continue  # it has ended
    found = []
    for process, name in names.items():
        above = process
        while above in parents and above != driver:
            above = parents[above]
        if above == driver and name.startswith("ray::") and "MapWorker" in name:
            found.append(process)
    return sorted(found)


def resident_mib(process: int) -> float:
    """Return the memory of a process that is in RAM; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def wait_for(process: "subprocess.Popen[bytes]", out: Path, rows: int) -> None:
    """Wait until a run has written a number of rows."""
    while rows_written(out) < rows:
        if process.poll() is not None:
            sys.exit(f"the run ended with {process.returncode} before {rows} rows")
        time.sleep(0.2)


def watch(processes: "list[subprocess.Popen[bytes]]", out: Path) -> float:
    """Wait for the end of a run; print how memory grew, return photographs a second of its middle.

    Args:
        processes: The driver of Ray, or the processes of all shards.
        out: Where they write.
    """
    seen: dict[int, list[tuple[float, int, float]]] = {}
    running = True
    while running:
        running = any(process.poll() is None for process in processes)
        rows, now = rows_written(out), time.monotonic()
        for process in processes:
            for one in (process.pid, *actors_of(process.pid)):
                seen.setdefault(one, []).append((now, rows, resident_mib(one)))
        time.sleep(0.5)
    codes = [process.returncode for process in processes]
    if set(codes) != {3}:
        sys.exit(f"runs ended with {codes}; all must end with 3 (some inputs failed)")
    all_rows = [rows for samples in seen.values() for _, rows, _ in samples]
    first, last = min(all_rows), max(all_rows)
    rates = []
    for one, samples in seen.items():
        times, rows_seen, sizes = np.array(samples, float).T
        warm = (rows_seen > first + (last - first) / 4) & (rows_seen < last) & (sizes > 0)
        if np.unique(rows_seen[warm]).size > 2:
            slope = 1000 * np.polyfit(rows_seen[warm], sizes[warm], 1)[0]
            name = "process" if one in {process.pid for process in processes} else "actor"
            print(
                f"  {name} {one}: {sizes[warm].max():.0f} MiB, {slope:+.2f} MiB a 1,000 photographs"
            )
            rates.append(np.polyfit(times[warm], rows_seen[warm], 1)[0])
    return float(np.mean(rates)) if rates else math.nan


def processor_seconds() -> float:
    """Return the processor time of processes that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(whole: Path, out: Path, count: int) -> None:
    """Exit with 1 unless both folders have the same tables, of every photograph once."""
    ids: list[str] = []
    for name in ("measurements.csv", "failures.csv"):
        content = (whole / name).read_bytes()
        if content != (out / name).read_bytes():
            sys.exit(f"{name} differs from that of one process")
        ids += [row["id"] for row in csv.DictReader(content.decode().splitlines())]
    if len(ids) != count or len(set(ids)) != count:
        sys.exit(f"{count} photographs have {len(ids)} rows, {len(set(ids))} ids")
    print(f"tables are those of one process, byte for byte: {count} photographs, each once")


def main() -> None:
    """Read the options and run everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scratch", type=Path, help="where files go; removed after")
    options = parser.parse_args()
    if options.scratch:
        options.scratch.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=options.scratch))
    try:
        source, whole, out = (scratch / name for name in ("in", "whole", "out"))
        make_photographs(source, options.count)
        begun = time.monotonic()
        start(command(source, whole)).wait()
        print(f"one process: {time.monotonic() - begun:.0f} s, {processor_seconds():.0f} CPU-s")
        words = command(source, out, "--engine", "ray", "--jobs", str(options.jobs))
        process = start(words)
        wait_for(process, out, options.count // 5)
        os.kill(actors_of(process.pid)[0], signal.SIGKILL)
        wait_for(process, out, 2 * options.count // 5)
        process.kill()
        process.wait()
        time.sleep(5)
        left = rows_written(out)
        print(f"driver killed: {left} of {options.count} photographs have a row")
        watch([start(words)], out)
        compare(whole, out, options.count)
        by_shards = [
            start(command(source, scratch / "shards", "--shard", f"{number + 1}/{options.jobs}"))
            for number in range(options.jobs)
        ]
        alone = watch(by_shards, scratch / "shards")
        print(f"{options.jobs} processes, a shard each: {alone:.1f} photographs a second")
        words[words.index(str(out))] = str(scratch / "ray")
        by_ray = watch([start(words)], scratch / "ray")
        print(f"Ray, {options.jobs} actors: {by_ray:.1f}, {by_ray / alone:.2f} times as many")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
