"""A group of runs as a chapter of a report: facts, warnings and sections."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch

from tvseg.evaluation.report.chapter import Chapter
from tvseg.evaluation.report.comparisons import comparison_section
from tvseg.evaluation.report.groups import Group
from tvseg.evaluation.report.sections import (
    agreement_section,
    distribution_section,
    example_section,
    failure_section,
    run_section,
    score_section,
    shift_section,
    training_section,
)
from tvseg.evaluation.schema import MEAN_MASK
from tvseg.settings import SegmentationSettings

ENOUGH_SEEDS = 3


def chapter(group: Group, *, roots: Mapping[Path, Path] | None, device: torch.device) -> Chapter:
    """Return the chapter of a group.

    Args:
        group: Runs with their scores.
        roots: Data root of each run's folder, for the photographs; ``None`` leaves them out.
        device: Where to predict the cases that are shown.

    Raises:
        UserError: The data are not those that were scored, or a file of a run is damaged.
    """
    sections = [
        score_section(group),
        comparison_section(group),
        distribution_section(group),
        agreement_section(group),
        *([] if roots is None else [example_section(group, roots, device)]),
        shift_section(group),
        training_section(group),
        failure_section(group),
        run_section(group),
    ]
    return Chapter(group.title, facts(group), warnings(group), sections)


def facts(group: Group) -> dict[str, str]:
    """Return what was compared: name -> words."""
    settings = group.runs[0].settings()
    images = group.cases.drop_duplicates(["centre", "split", "case"]).groupby("centre").size()
    seeds = sorted({run.settings().seed for run in group.runs})
    plan = settings.train
    rules = group.scoring.protocol
    masks = rules.prediction_words(settings.scattered)
    return {
        "Protocol": f"{rules.name}: {masks}, {rules.scoring_words}",
        "Networks": ", ".join(group.networks),
        "Seeds": ", ".join(map(str, seeds)),
        "Unseen centres" if group.holds_out else "Centres (trained on)": ", ".join(
            f"{letter} {settings.centres[str(letter)].name} ({count} images)"
            for letter, count in images.items()
        ),
        "Training": f"encoder {settings.encoder}, {settings.image_size} px, augmentation "
        f"{settings.augment}, {plan.epochs} epochs of {plan.steps_per_epoch} steps of "
        f"{plan.images_per_centre} images a centre, learning rate {plan.learning_rate:g}"
        f"{keys_beyond_the_published(settings)}",
        "Average of weights": ", ".join(sorted(set(averages_of(group).values()))),
        "Data fingerprint": str(group.runs[0].info()["fingerprint"]),
    }


def averages_of(group: Group) -> dict[str, str]:
    """Return which average of the weights each variant keeps, ``none`` for the latest."""
    settings = [run.settings() for run in group.runs]
    return {one.display_name: one.train.average for one in settings}


def keys_beyond_the_published(settings: SegmentationSettings) -> str:
    """Return the keys of a training that leave the published one, each after a comma.

    Example:
        >>> keys_beyond_the_published(SegmentationSettings(mix="fourier"))
        ', init=starter, mix=fourier, phantoms=0.25'
    """
    changed = settings.model_dump(exclude_defaults=True)
    train = changed.get("train", {})
    keys = ("init", "mix", "mixstyle", "phantoms")
    beyond: dict[str, object] = {key: changed[key] for key in keys if changed.get(key)}
    beyond |= {"train.loss": train["loss"]} if "loss" in train else {}
    beyond |= {f"tvconv.{key}": value for key, value in changed.get("tvconv", {}).items()}
    return "".join(f", {key}={value}" for key, value in beyond.items())


def warnings(group: Group) -> list[str]:
    """Return what a reader must know before believing a number."""
    found = []
    chosen = {str(run.info()["chosen"]) for run in group.runs}
    if group.scoring.checkpoint == "best" and any("target" in words for words in chosen):
        found.append(
            "Epochs were selected on the unseen centre's own test split, as the published code "
            "does: a leak, and scores are higher than an unseen centre would give."
        )
    averages = averages_of(group)
    if len(set(averages.values())) > 1:
        kept = ", ".join(f"{variant} {average}" for variant, average in averages.items())
        found.append(
            f"Variants differ in train.average, too ({kept}): to compare operators alone, train "
            "all with the same one."
        )
    if not group.holds_out:
        found.append("The scored centres were trained on: these are scores of known cameras.")
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
