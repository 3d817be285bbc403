"""What a run can be told: one frozen, typed class of settings a task.

``configs/base.yaml`` lists every key with its default and its meaning; a test compares both.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from tvseg.errors import UsageError, UserError
from tvseg.first_weights import average_of, resolve_auto

OLD_SELECTIONS = {"honest": "sources", "paper": "target"}
"""Values of the former key ``protocol``, and today's of ``selection``."""

MAX_SEED = 2**63 - 1

SPATIAL_OPERATORS = (
    "depthwise", "tvconv", "condconv", "weightnet", "dyconv_dw", "involution", "ddf", "sasa",
    "axial",
)  # fmt: skip
"""Names of :data:`tvseg.models.spatial.SPATIAL`, known before torch is imported."""

POINTWISE_OPERATORS = ("dyconv_pw",)
"""Names of :data:`tvseg.models.spatial.POINTWISE`, likewise."""


class FrozenSettings(BaseModel):
    """Settings that do not change, refuse unknown keys and take no yes or no for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[str(info.field_name)].annotation
        if _takes_numbers(kind) and any(isinstance(item, bool) for item in _items(value)):
            a_number = "a number" if isinstance(value, bool) else "numbers"
            raise UserError(f"must be {a_number}, not true or false (or yes, no, on, off)")
        return value


def _takes_numbers(kind: Any) -> bool:
    """Return whether a type is, or is made of, int or float."""
    return kind in (int, float) or any(map(_takes_numbers, get_args(kind)))


def _items(value: Any) -> Iterable[Any]:
    """Return the items of a list, the keys of a mapping, or a value itself."""
    return value if isinstance(value, list | tuple | dict) else (value,)


class CentreSettings(FrozenSettings):
    """One centre: its display name, its folder below the data root, and its mask encoding."""

    name: str
    folder: str
    encoding: dict[int, tuple[str, ...]] | None = None  # None: the encoding of all centres
    patient_pattern: str | None = None  # None: names do not tell the patient

    @field_validator("patient_pattern")
    @classmethod
    def _is_an_expression(cls, pattern: str | None) -> str | None:
        try:
            groups = 1 if pattern is None else re.compile(pattern).groups
        except re.error as error:
            raise UserError(f"must be a regular expression ({error})") from error
        if groups != 1:
            raise UserError("must have one group (...), the patient's part of a file name")
        return pattern


class ScheduleSettings(FrozenSettings):
    """Epochs of a fixed number of steps, and one drop of the learning rate."""

    epochs: int = Field(default=40, ge=1, le=1_000_000)
    steps_per_epoch: int = Field(default=20, ge=1, le=1_000_000)
    micro_batches: int = Field(default=1, ge=1, le=4096)
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    drop_at: float = Field(default=0.75, gt=0, le=1)
    drop_factor: float = Field(default=0.2, gt=0, le=1)
    workers: int = Field(default=0, ge=0, le=256)
    log_affinity: bool = False


class TrainSettings(ScheduleSettings):
    """The schedule of a segmentation network, whose steps draw as many images of each centre."""

    images_per_centre: int = Field(default=16, ge=1, le=4096)
    loss: Literal["bce", "dice_bce"] = "bce"
    average: Literal["auto", "none", "swa", "ema", "wise"] = "auto"

    @model_validator(mode="after")
    def _parts_hold_as_many_of_each_centre(self) -> "TrainSettings":
        if self.images_per_centre % self.micro_batches:
            raise UserError(
                f"micro_batches must divide images_per_centre ({self.images_per_centre}), so that "
                f"all parts of a step hold as many images of each centre; it is "
                f"{self.micro_batches}"
            )
        return self

    @model_validator(mode="after")
    def _weights_are_averaged_after_the_drop(self) -> "TrainSettings":
        if self.average == "swa" and self.drop_at == 1:
            raise UserError(
                "average=swa needs epochs after the drop of the learning rate, got drop_at=1; "
                "lower drop_at"
            )
        return self


class TVConvSettings(FrozenSettings):
    """TVConv layers: their affinity maps and what else they are made of."""

    affinity_start: Literal["ones", "coordinates", "mean_masks"] = "ones"
    affinity_noise: float = Field(default=0, ge=0, le=100)
    affinity_rate: float = Field(default=1, ge=0, le=100_000)
    affinity_decay: float = Field(default=0, ge=0, le=1000)
    generator_padding: Literal["zeros", "replicate"] = "zeros"
    dynamic_bias: bool = False
    align: bool = False


def _benchmark_centres() -> dict[str, CentreSettings]:
    names = {"A": "Drishti-GS", "B": "RIM-ONE r3", "C": "REFUGE train", "D": "REFUGE val"}
    return {
        letter: CentreSettings(name=name, folder=f"Domain{number}")
        for number, (letter, name) in enumerate(names.items(), start=1)
    }


class RunSettings(FrozenSettings):
    """Settings of a run that every task has.

    ``distinctive_key`` is a key that a task's settings have had in every version, and no other's.
    """

    distinctive_key: ClassVar[str]
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+$", max_length=100)
    data: str | None = Field(default=None, min_length=1)
    tracking: str | None = Field(default=None, min_length=1)
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    train: ScheduleSettings = ScheduleSettings()


class SegmentationSettings(RunSettings):
    """Everything that decides what a segmentation run computes, except the held-out centre."""

    distinctive_key = "aspp"
    selection: Literal["sources", "lodo", "last", "target"] = "sources"
    aspp: str = "tvconv"  # checked by the builder, which knows the operators
    aspp_dilation: Literal["none", "atrous"] = "none"
    encoder: str = "mobilenet_v2_320"
    encoder_weights: str = "imagenet"
    init: str | None = Field(default=None, min_length=1)  # auto: tvseg.first_weights
    image_size: int = Field(default=256, ge=32, le=4096, multiple_of=16)
    tvconv: TVConvSettings = TVConvSettings()
    augment: Literal["none", "scale_crop", "strong", "strong2", "framing"] = "scale_crop"
    mix: Literal["none", "fourier", "histogram"] = "none"
    mixstyle: float = Field(default=0, ge=0, le=1)
    phantoms: float = Field(default=0, ge=0, le=1)  # auto: tvseg.first_weights
    structures: tuple[str, ...] = Field(default=("cup", "disc"), min_length=1, max_length=64)
    scattered: tuple[str, ...] = ()
    encoding: dict[int, tuple[str, ...]] = {0: ("cup", "disc"), 128: ("disc",), 255: ()}
    centres: dict[str, CentreSettings] = Field(default_factory=_benchmark_centres)
    train: TrainSettings = TrainSettings()

    @model_validator(mode="before")
    @classmethod
    def _former_and_automatic_values(cls, tree: Any) -> Any:
        if not isinstance(tree, dict) or "protocol" not in tree:
            return resolve_auto(tree)
        if "selection" in tree:
            raise UserError("selection and its former name protocol must not both be given")
        value = tree["protocol"]
        kept = {key: value for key, value in tree.items() if key != "protocol"}
        today = OLD_SELECTIONS.get(value, value) if isinstance(value, str) else value
        return resolve_auto(kept | {"selection": today})

    @field_validator("centres")
    @classmethod
    def _letters_are_short_names(cls, centres: dict[str, CentreSettings]) -> Any:
        wrong = [letter for letter in centres if not letter.isalnum() or letter.lower() == "none"]
        if wrong or len(centres) < 2:
            raise UserError(
                "needs at least two centres, each under a letter or short name of letters and "
                f"digits other than 'none'; got {', '.join(centres) or 'no centre'}"
            )
        return centres

    @model_validator(mode="after")
    def _names_and_folders_differ(self) -> "SegmentationSettings":
        folders = [centre.folder for centre in self.centres.values()]
        if len(set(folders)) < len(folders):
            raise UserError(f"each centre must have a folder of its own, got {', '.join(folders)}")
        if len(set(self.structures)) < len(self.structures):
            raise UserError(f"structures must differ, got {', '.join(self.structures)}")
        if strange := set(self.scattered) - set(self.structures):
            raise UserError(f"scattered must name structures, got {', '.join(sorted(strange))}")
        return self

    @model_validator(mode="after")
    def _options_of_tvconv_need_it(self) -> "SegmentationSettings":
        changed = self.tvconv.model_dump(exclude_defaults=True)
        if changed and self.aspp != "tvconv":
            raise UserError(
                f"tvconv.{', tvconv.'.join(changed)} must be left out unless aspp=tvconv, got "
                f"aspp={self.aspp}"
            )
        return self

    @model_validator(mode="after")
    def _averages_need_first_weights(self) -> "SegmentationSettings":
        if self.train.average == "wise" and self.init is None:
            raise UserError("train.average=wise is the mean with the weights of init: set init")
        if self.train.average == "auto":
            average = average_of(self.init, self.aspp, self.aspp_dilation)
            object.__setattr__(self, "train", self.train.model_copy(update={"average": average}))
        return self

    @model_validator(mode="after")
    def _photographs_alone_are_mixed(self) -> "SegmentationSettings":
        if self.mix != "none" and self.phantoms == 1:
            raise UserError(
                f"mix recolours photographs, of which phantoms=1 has none, got mix={self.mix}; set "
                "mix=none or a lower share of phantoms"
            )
        return self

    @model_validator(mode="after")
    def _encodings_name_known_structures(self) -> "SegmentationSettings":
        own = {f"centres.{letter}.encoding": c.encoding for letter, c in self.centres.items()}
        for key, encoding in {"encoding": self.encoding, **own}.items():
            if encoding is None:
                continue
            if not all(0 <= value <= 255 for value in encoding):
                raise UserError(f"{key} must map pixel values from 0 to 255, has {[*encoding]}")
            marked = {structure for structures in encoding.values() for structure in structures}
            if marked != set(self.structures):
                raise UserError(
                    f"{key} must mark each of the structures {', '.join(self.structures)} and "
                    f"no other; it marks {', '.join(sorted(marked)) or 'none'}"
                )
        if () not in self.encoding.values():
            raise UserError("encoding must have a value for the background, such as 255: []")
        return self

    @property
    def display_name(self) -> str:
        """The ``name`` key, by default the variant."""
        return self.name or self.aspp


def run_name(settings: SegmentationSettings, holdout: str) -> str:
    """Return the name of a run's folder, ``<name>-holdout-<letter>-seed<k>``."""
    return f"{settings.display_name}-holdout-{holdout}-seed{settings.seed}"


def held_out(holdout: str) -> tuple[str, ...]:
    """Return the letters of the centres that a hold-out names.

    Example:
        >>> held_out("A"), held_out("B+C"), held_out("none")
        (('A',), ('B', 'C'), ())
    """
    return () if holdout == "none" else tuple(holdout.split("+"))


def check_holdout(holdout: str, centres: Collection[str]) -> None:
    """Raise UsageError unless a hold-out is ``none`` or names centres, and leaves one to train."""
    letters = held_out(holdout)
    if not set(letters) < set(centres) or len(set(letters)) < len(letters):
        raise UsageError(
            f"holdout must be a centre ({', '.join(centres)}) or none, got {holdout!r}; several "
            "are joined by +, and one at least must be left to train on"
        )


def all_but(sources: Collection[str], centres: Collection[str]) -> str:
    """Return the hold-out that leaves only the named sources to train on.

    Args:
        sources: Letters of the centres to train on.
        centres: Letters of all centres, in order.

    Raises:
        UsageError: No source, or one that is no centre.
    """
    if not sources or not set(sources) <= set(centres):
        raise UsageError(
            f"sources must name centres ({', '.join(centres)}), got {', '.join(sources) or 'none'}"
        )
    return "+".join(letter for letter in centres if letter not in sources) or "none"
