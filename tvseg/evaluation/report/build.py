"""A group of runs as a chapter of a report: what it is, what to beware of, and its sections."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from tvseg.evaluation.report.examples import predict_examples, rank_cases
from tvseg.evaluation.report.figures import training_curves
from tvseg.evaluation.report.groups import Group
from tvseg.evaluation.report.page import Chapter, Picture, Section, Sheet
from tvseg.evaluation.report.panels import panels
from tvseg.evaluation.report.sections import (
    agreement_section,
    comparison_section,
    distribution_section,
    failure_section,
    score_section,
)
from tvseg.evaluation.schema import MEAN_MASK
from tvseg.runs.folder import RunFolder

ENOUGH_SEEDS = 3


def chapter(group: Group, *, roots: Mapping[Path, Path] | None, device: torch.device) -> Chapter:
    """Make a chapter.

    Args:
        group: Runs with their scores.
        roots: Data root of each run's folder, for the photographs; ``None`` leaves them out.
        device: Where to predict the cases that are shown.

    Raises:
        ValueError: The data are not those that were scored.
    """
    sections = [
        score_section(group),
        comparison_section(group),
        distribution_section(group),
        agreement_section(group),
        *([] if roots is None else [example_section(group, roots, device)]),
        training_section(group),
        failure_section(group),
        run_section(group),
    ]
    return Chapter(group.title, facts(group), warnings(group), sections)


def facts(group: Group) -> dict[str, str]:
    """What was compared, in a few lines."""
    settings = group.runs[0].settings()
    images = group.cases.drop_duplicates(["centre", "split", "case"]).groupby("centre").size()
    seeds = sorted({run.settings().seed for run in group.runs})
    plan = settings.train
    rules = group.scoring.protocol
    return {
        "Protocol": f"{rules.name}: {rules.prediction_words}, {rules.scoring_words}",
        "Networks": ", ".join(group.networks),
        "Seeds": ", ".join(map(str, seeds)),
        "Unseen centres" if group.holds_out else "Centres (trained on)": ", ".join(
            f"{letter} {settings.centres[str(letter)].name} ({count} images)"
            for letter, count in images.items()
        ),
        "Training": f"encoder {settings.encoder}, {settings.image_size} px, augmentation "
        f"{settings.augment}, {plan.epochs} epochs of {plan.steps_per_epoch} steps of "
        f"{plan.images_per_centre} images a centre, learning rate {plan.learning_rate:g}",
        "Data fingerprint": str(group.runs[0].info()["fingerprint"]),
    }


def warnings(group: Group) -> list[str]:
    """What a reader must know before believing a number."""
    found = []
    chosen = {str(run.info().get("chosen", "")) for run in group.runs}
    if group.scoring.checkpoint == "best" and any("target" in words for words in chosen):
        found.append(
            "Epochs were selected on the unseen centre's own test split, as the published code "
            "does: a leak, and scores are higher than an unseen centre would give."
        )
    if not group.holds_out:
        found.append("No centre was held out: the scored centres were trained on.")
    scored = set(zip(group.cases["variant"], group.cases["centre"], strict=True))
    gaps = [
        f"{variant} on {centre}"
        for variant, centre in itertools.product(group.networks, group.centres)
        if (variant, centre) not in scored
    ]
    if gaps:
        found.append(f"Not scored: {', '.join(gaps)}. Means at the foot need all centres.")
    networks = group.cases[group.cases["variant"] != MEAN_MASK]
    seeds = networks.groupby(["variant", "centre"])["seed"].nunique()
    if seeds.min() < ENOUGH_SEEDS:
        few = int((seeds < ENOUGH_SEEDS).sum())
        found.append(
            f"{few} of {len(seeds)} pairs of variant and centre have fewer than {ENOUGH_SEEDS} "
            "seeds: a difference between them may be chance of a single training, which the tests "
            "over images cannot see."
        )
    failed = int((networks["missed"].astype(bool) | networks["spurious"].astype(bool)).sum())
    if failed:
        found.append(
            f"Structures that were missed or invented: {failed}. They are listed under Failures."
        )
    return found


def example_section(group: Group, roots: Mapping[Path, Path], device: torch.device) -> Section:
    """Best, median and worst case of each centre, as contours of every variant."""
    networks = group.cases[group.cases["variant"] != MEAN_MASK]
    chosen = rank_cases(networks, group.networks)
    by_name = {run.path.name: run for run in group.runs}
    pictures = []
    for centre in tqdm(group.centres, "drawing cases", leave=False):
        runs = _shown_runs(networks[networks["centre"] == centre], group.networks, by_name)
        examples = predict_examples(
            chosen[chosen["centre"] == centre],
            networks,
            runs,
            root=roots[next(iter(runs.values())).path],
            scoring=group.scoring,
            device=device,
        )
        names = ", ".join(f"{example.rank} {example.name}" for example in examples)
        seeds = ", ".join(f"{variant} seed {run.settings().seed}" for variant, run in runs.items())
        pictures.append(
            Picture(
                f"cases-{centre}",
                f"Centre {centre}; {seeds}. Truth red, predicted disc green, predicted cup blue.",
                f"Photographs of centre {centre} with contours of truth and predictions: {names}; "
                "Dice stands below each.",
                panels(examples),
            )
        )
    words = (
        "The case with the highest, the median and the lowest Dice of each centre, averaged over "
        "structures, variants and seeds, predicted again by the first seed of each variant. All "
        "variants are shown on the same cases; numbers are Dice in %. The white frame in the "
        "photograph is what stands enlarged beside it."
    )
    return Section("Best, median and worst cases", [words], pictures=pictures)


def _shown_runs(
    cases: pd.DataFrame, networks: Sequence[str], by_name: Mapping[str, RunFolder]
) -> dict[str, RunFolder]:
    """Of each variant that scored a centre, the run of the first seed."""
    first = cases.sort_values("seed", kind="stable").drop_duplicates("variant")
    names = dict(zip(first["variant"], first["run"], strict=True))
    return {variant: by_name[names[variant]] for variant in networks if variant in names}


def training_section(group: Group) -> Section:
    """Loss and validation Dice of every run."""
    rows = []
    for run in group.runs:
        info = run.info()
        about = {"variant": run.settings().run_name, "seed": run.settings().seed}
        about |= {"holdout": info["holdout"], "best_epoch": info.get("best_epoch")}
        rows += [about | row for row in run.read_metrics()]
    epochs = pd.DataFrame(rows)
    for name in ("epoch", "loss", "dice"):
        epochs[name] = pd.to_numeric(epochs[name])
    pictures = [
        Picture(
            f"training-{holdout}",
            f"Hold-out {holdout}: a line a run; the ring marks the epoch that was kept.",
            f"Curves of training loss and validation Dice by epoch of the runs with hold-out "
            f"{holdout}.",
            training_curves(own, group.networks),
        )
        for holdout, own in epochs.groupby("holdout")
    ]
    chosen = ", ".join(sorted({str(run.info().get("chosen")) for run in group.runs}))
    words = f"DSC is that of the images by which epochs are compared ({chosen})."
    return Section("Training", [words], pictures=pictures)


def run_section(group: Group) -> Section:
    """Where each number comes from."""
    rows = []
    for run in group.runs:
        info = run.info()
        rows.append(
            {
                "Run": run.path.name,
                "Variant": run.settings().run_name,
                "Hold-out": info["holdout"],
                "Seed": info["seed"],
                "Epoch kept": info.get("best_epoch"),
                "Minutes": round(float(info.get("train_seconds", 0)) / 60, 1),
                "Device": info.get("device"),
                "Precision": info.get("precision"),
                "tvseg": info.get("tvseg"),
                "Commit": info.get("commit"),
                "Finished": str(info.get("finished"))[:10],
            }
        )
    numbers = pd.DataFrame(rows)
    text = numbers.astype(object).where(numbers.notna(), "").astype(str)
    return Section("Runs", tables=[Sheet("runs", "Every run of this report.", text, numbers, 3)])
