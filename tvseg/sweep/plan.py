"""From a sweep file to its cells."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

import tvseg
from tvseg.config import load_settings
from tvseg.data.file_digests import FolderDigests, digest_file, digest_files
from tvseg.documents import MAX_YAML_BYTES, check_tree, parse_yaml
from tvseg.errors import UsageError, UserError
from tvseg.files import read_bytes
from tvseg.plugins import OPERATORS, plugin_names
from tvseg.settings import (
    POINTWISE_OPERATORS,
    SPATIAL_OPERATORS,
    FrozenSettings,
    RunSettings,
    SegmentationSettings,
    all_but,
    check_holdout,
    held_out,
)
from tvseg.verification.settings import FaceSettings


@dataclass(frozen=True)
class SweepTask:
    """One kind of training.

    Attributes:
        settings: Class of the settings of a cell.
        group: Words between ``tvseg`` and ``train`` or ``eval`` on the command line.
        holds_out: Whether a cell holds out a centre.
        protocols: Ways to score a training.
        operator: Key of the settings that names an operator.
        operators: Its values, but for those of plug-ins.
        plugins: Group of plug-ins that bring more; empty where none may.
        scores: Name of the file that a scoring leaves.
    """

    settings: type[RunSettings]
    group: tuple[str, ...]
    holds_out: bool
    protocols: tuple[str, ...]
    operator: str
    operators: tuple[str, ...]
    plugins: str = ""
    scores: str = "summary.json"

    def check_operator(self, settings: RunSettings) -> None:
        """Raise UsageError unless settings name an operator that is known."""
        name = getattr(settings, self.operator)
        if name in self.operators:
            return
        known = [*self.operators, *(plugin_names(self.plugins) if self.plugins else [])]
        if name not in known:
            raise UsageError(f"{self.operator} must be one of {', '.join(known)}, got {name!r}")


TASKS = {
    "segmentation": SweepTask(
        SegmentationSettings, (), True, ("honest", "paper"),
        operator="aspp", operators=("dense", *SPATIAL_OPERATORS, *POINTWISE_OPERATORS),
        plugins=OPERATORS,
    ),
    "faces": SweepTask(
        FaceSettings, ("faces",), False, ("honest", "insightface", "paper"),
        operator="operator", operators=SPATIAL_OPERATORS, scores="scores.json",
    ),
}  # fmt: skip


class SweepFile(FrozenSettings):
    """What a sweep file may say.

    Attributes:
        task: Kind of the trainings, a name of :data:`TASKS`.
        data: Data root; ``--data`` and ``$TVSEG_DATA`` come before and after it.
        configs: Settings files that every cell starts from, relative to the sweep file.
        settings: Keys of every cell, such as ``train.epochs: 10``.
        variants: Name -> keys of this variant.
        holdouts: Centres to hold out, or ``none``; of segmentation alone.
        sources: Centres to train on, joined by ``+``, all others being held out; likewise.
        seeds: One training for each.
        grid: Key -> values; every combination makes a variant of its own.
        protocols: Scoring protocols that are run on each finished training.
        checkpoint: Which checkpoint is scored.
        ensembles: Also score averaged probabilities of the ``seeds`` of a variant, or of all
            ``variants``; of segmentation alone.
    """

    task: Literal["segmentation", "faces"] = "segmentation"
    data: str | None = None
    configs: tuple[str, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = Field(min_length=1)
    holdouts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)
    protocols: tuple[str, ...] = ("honest",)
    checkpoint: Literal["best", "last"] = "best"
    ensembles: tuple[Literal["seeds", "variants"], ...] = ()

    @model_validator(mode="after")
    def _holds_out_where_there_are_centres(self) -> "SweepFile":
        if self.kind.holds_out and not (self.holdouts or self.sources):
            raise ValueError("holdouts or sources must name at least one centre, or none")
        if not self.kind.holds_out and (self.holdouts or self.sources or self.ensembles):
            raise ValueError(
                f"holdouts, sources and ensembles must be left out where task is {self.task}"
            )
        return self

    @model_validator(mode="after")
    def _protocols_are_those_of_the_task(self) -> "SweepFile":
        if strange := set(self.protocols) - set(self.kind.protocols):
            raise ValueError(
                f"protocols must be out of {', '.join(self.kind.protocols)}, where task is "
                f"{self.task}; got {', '.join(sorted(strange))}"
            )
        return self

    @property
    def kind(self) -> SweepTask:
        """What a sweep knows of the task."""
        return TASKS[self.task]


@dataclass(frozen=True)
class SweepCell:
    """One training of a sweep.

    Attributes:
        variant: Name of the variant, with the values of the grid.
        holdout: Centre that is held out; None where the task has no centres.
        seed: Of the training.
        configs: Settings files.
        overrides: ``key=value`` items.
        fingerprint: Of the settings, the files of weights that they name, the data and the version
            of tvseg.
        sources: What the sweep file names them by, where it names sources.
    """

    variant: str
    holdout: str | None
    seed: int
    configs: tuple[Path, ...]
    overrides: tuple[str, ...]
    fingerprint: str
    sources: str = ""

    @property
    def name(self) -> str:
        """Name of the run folder."""
        centre = "" if self.holdout is None else f"-holdout-{self.holdout}"
        return f"{self.variant}{centre}-seed{self.seed}"


@dataclass(frozen=True)
class SweepPlan:
    """All cells of a sweep, in the order in which they run: seeds outermost.

    Attributes:
        file: The sweep file.
        data: Data root.
        cells: The trainings.
        digests: Of the data's files.
    """

    file: SweepFile
    data: Path
    cells: tuple[SweepCell, ...]
    digests: FolderDigests


def read_plan(
    path: Path,
    *,
    data: Path | None = None,
    default_data: str | None = None,
    known: FolderDigests | None = None,
    reads_data: bool = True,
) -> SweepPlan:
    """Read a sweep file and check the settings of every cell.

    Args:
        path: The YAML file.
        data: Data root that goes before the file's.
        default_data: Data root that is used when neither is given.
        known: Digests of the data's files, of an earlier call.
        reads_data: Read the data, so that cells of other contents differ; without it no cell
            has the fingerprint of an earlier call.

    Raises:
        UserError: A wrong key or value, no data root, or two cells of one name.
        OSError: A file of the data cannot be read.
    """
    tree = parse_yaml(read_bytes(path, limit=MAX_YAML_BYTES), path)
    file = check_tree(SweepFile, tree, path)
    given = data or file.data or default_data
    root = Path(given or "nothing")
    if not given or not root.is_dir():
        raise UserError(f"{path}: data must be an existing folder; give data: or --data")
    drafts = list(_cells(file, path.parent))
    cells = [cell for cell, _ in drafts]
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: cells must differ in name, {twice} is there twice")
    _check_holdouts_differ(cells, path)
    known = known or FolderDigests()
    digests = digest_files(root, known) if reads_data else FolderDigests()
    found = (
        replace(cell, fingerprint=_fingerprint(content, digests.stamp)) for cell, content in drafts
    )
    return SweepPlan(file, root, tuple(found), digests)


def _check_holdouts_differ(cells: Sequence[SweepCell], path: Path) -> None:
    known: dict[tuple[str, frozenset[str]], str] = {}
    for cell in (one for one in cells if one.holdout is not None):
        holdout = str(cell.holdout)
        other = known.setdefault((cell.variant, frozenset(held_out(holdout))), holdout)
        if other != holdout:
            raise UserError(f"{path}: {other} and {holdout} hold out the same centres; name one")


def _fingerprint(content: tuple[Any, ...], stamp: str) -> str:
    whole = [*content, stamp, tvseg.__version__]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def _cells(file: SweepFile, folder: Path) -> Iterator[tuple[SweepCell, tuple[Any, ...]]]:
    """Yield each cell without a fingerprint, and its settings, hold-out and weights for one."""
    digest = cache(digest_file)  # cells name the same files
    configs = tuple(folder / config for config in file.configs)
    points = [
        dict(zip(file.grid, values, strict=True))
        for values in itertools.product(*file.grid.values())
    ]
    targets = [*((one, "") for one in file.holdouts), *((None, one) for one in file.sources)]
    for seed, (variant, keys), point, (holdout, sources) in itertools.product(
        file.seeds, file.variants.items(), points, targets or [(None, "")]
    ):
        name = "-".join(
            [variant, *(f"{_short(key)}{_short(value)}" for key, value in point.items())]
        )
        overrides = _overrides({**file.settings, **keys, **point, "name": name, "seed": seed})
        settings = load_settings(configs, overrides, file.kind.settings)
        if isinstance(settings, SegmentationSettings):
            holdout = holdout or all_but(sources.split("+"), settings.centres)
            check_holdout(holdout, settings.centres)
        file.kind.check_operator(settings)
        cell = SweepCell(name, holdout, seed, configs, overrides, "", sources)
        weights = (digest(path) for path in _weights_of(settings))
        yield cell, (settings.model_dump(mode="json"), holdout, *weights)


def _weights_of(settings: RunSettings) -> list[Path]:
    """Return the files of weights that settings name; ``starter`` or ``imagenet`` are none."""
    values = (getattr(settings, key, None) for key in ("init", "encoder_weights"))
    paths = [Path(value).expanduser() for value in values if value is not None]
    return [path for path in paths if path.is_file()]


def _overrides(keys: dict[str, Any]) -> tuple[str, ...]:
    """Write keys as ``key=value`` items, the values as YAML on one line."""
    return tuple(
        f"{key}={yaml.safe_dump(value, default_flow_style=True, width=10**6).split(chr(10))[0]}"
        for key, value in keys.items()
    )


def _short(text: object) -> str:
    """Return the last part of a key, or a value, as it may stand in a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", str(text).rpartition("train.")[2])


def by_variant(cells: Sequence[SweepCell]) -> dict[str, list[SweepCell]]:
    """Group cells by variant, in order."""
    groups: dict[str, list[SweepCell]] = {}
    for cell in cells:
        groups.setdefault(cell.variant, []).append(cell)
    return groups
