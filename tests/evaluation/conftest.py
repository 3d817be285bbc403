"""Run folders with scores, written by hand: what a report reads, without a training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tvseg.config import dump_settings, load_settings
from tvseg.evaluation.schema import COLUMNS
from tvseg.files import write_json, write_text
from tvseg.runs.folder import RunFolder

TINY = load_settings(
    None,
    ["aspp=dense", "encoder_weights=none", "image_size=64", "train.epochs=1",
     "train.steps_per_epoch=2", "train.images_per_centre=2"],
)  # fmt: skip
GAINS = {"mean mask": -0.2, "dense": 0.0, "depthwise": 0.01, "tvconv": 0.05}
IMAGES = 8


def scored_rows(
    variants: Sequence[str] = tuple(GAINS),
    centres: str = "AB",
    seeds: Sequence[int] = (0, 1),
) -> pd.DataFrame:
    """Rows as of ``cases.csv``, each variant better by its gain; one cup of tvconv is missed."""
    places = [
        (variant, seed, centre, image)
        for variant in variants
        for seed in seeds
        for centre in centres
        for image in range(IMAGES)
    ]
    rows = [row for place in places for row in _rows(*place)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"missed": bool, "spurious": bool})


def _rows(variant: str, seed: int, centre: str, image: int) -> list[dict[str, object]]:
    hard = np.random.default_rng([ord(centre), image]).uniform(0, 0.2)  # the same for all variants
    rng = np.random.default_rng([*variant.encode(), seed, ord(centre), image])
    rows = []
    for structure, base in (("cup", 0.8), ("disc", 0.9)):
        missed = (variant, seed, centre, image, structure) == ("tvconv", 0, "A", 0, "cup")
        dice = 0.0 if missed else base + GAINS[variant] - hard - rng.uniform(0, 0.02)
        distance = 1131.4 if missed else 200 * (1 - dice)
        true = 0.3 + 0.05 * image
        ratio = {"true_vcdr": true, "true_vcdr_box": true}
        ratio |= dict.fromkeys(("vcdr", "vcdr_box"), 0.0 if missed else true + rng.normal(0, 0.05))
        rows.append(
            dict.fromkeys(("hd95_px", "hd_px", "asd_px", "assd_px"), distance)
            | dict.fromkeys(("hd95_share", "assd_share"), distance / 300)
            | dict.fromkeys(("surface_dice_2_5", "surface_dice_5"), dice)
            | {"run": f"{variant}-holdout-{centre}-seed{seed}", "variant": variant}
            | {"holdout": centre, "seed": seed, "centre": centre, "split": "test"}
            | {"case": f"photo{image}", "structure": structure, "dice": dice, "missed": missed}
            | {"spurious": False, "area_px": 0 if missed else 100, "true_area_px": 100}
            | (ratio if structure == "cup" else {})
        )
    return rows


def write_scored_run(
    runs: Path, variant: str, centre: str, seed: int, *overrides: str, protocol: str = "honest"
) -> RunFolder:
    """A finished run of a variant with its scores and those of the mean mask."""
    settings = load_settings(None, [f"aspp={variant}", f"seed={seed}", *overrides])
    run = RunFolder.of(runs, settings, centre)
    write_text(run.path / "config.yaml", dump_settings(settings))
    about = {"holdout": centre, "seed": seed, "fingerprint": "f", "finished": "2026-01-01T00:00:00"}
    about |= {"best_epoch": 2, "chosen": "selected on sources", "train_seconds": 90.0}
    write_json(run.path / "run.json", about)
    for epoch in (1, 2, 3):
        dice = 0.9 - 0.1 / epoch
        run.append_metrics({"epoch": epoch, "loss": 0.5 / epoch, "dice": dice, "seconds": 1.0})
    rows = scored_rows((variant, "mean mask"), centre, (seed,))
    write_text(run.path / "eval" / protocol / "cases.csv", rows.to_csv(index=False))
    return run


@pytest.fixture(scope="session")
def scored_runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """Three variants, two centres, two seeds; tvconv has no run for centre B. Not to be changed."""
    runs = tmp_path_factory.mktemp("scored")
    return [
        write_scored_run(runs, variant, centre, seed)
        for variant in ("dense", "depthwise", "tvconv")
        for centre in ("A" if variant == "tvconv" else "AB")
        for seed in (0, 1)
    ]


@pytest.fixture(scope="session")
def trained_run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A dense network after two steps on phantoms, centre B held out; scored as tests need it."""
    from tvseg.training.train import train

    return train(TINY, holdout="B", root=phantoms, runs=tmp_path_factory.mktemp("runs"))
