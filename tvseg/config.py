"""Settings: YAML files and key=value overrides become one frozen, typed object.

Every key, its default and its meaning stand in ``configs/base.yaml``; a test holds both together.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tvseg.errors import UsageError, UserError


class ConfigError(UsageError):
    """A setting that is misspelt, of the wrong type or out of range."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CentreSettings(_Frozen):
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


class TrainSettings(_Frozen):
    """The schedule: epochs of a fixed number of domain-balanced steps, one drop of the rate."""

    epochs: int = Field(default=40, ge=1)
    steps_per_epoch: int = Field(default=20, ge=1)
    images_per_centre: int = Field(default=16, ge=1)
    micro_batches: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    drop_at: float = Field(default=0.75, gt=0, le=1)
    drop_factor: float = Field(default=0.2, gt=0, le=1)
    workers: int = Field(default=0, ge=0)
    log_affinity: bool = False

    @model_validator(mode="after")
    def _parts_are_equal(self) -> "TrainSettings":
        if self.images_per_centre % self.micro_batches:
            raise UserError(
                f"micro_batches must divide images_per_centre ({self.images_per_centre}), so that "
                f"all parts of a step hold as many images of each centre; it is "
                f"{self.micro_batches}"
            )
        return self


def _benchmark_centres() -> dict[str, CentreSettings]:
    names = {"A": "Drishti-GS", "B": "RIM-ONE r3", "C": "REFUGE train", "D": "REFUGE val"}
    return {
        letter: CentreSettings(name=name, folder=f"Domain{number}")
        for number, (letter, name) in enumerate(names.items(), start=1)
    }


class Settings(_Frozen):
    """Everything that decides what a run computes, apart from the held-out centre."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+$")
    data: str | None = None
    seed: int = Field(default=0, ge=0)
    protocol: Literal["honest", "paper"] = "honest"
    aspp: str = "tvconv"  # checked by the builder, which knows the operators
    aspp_dilation: Literal["none", "atrous"] = "none"
    encoder: str = "mobilenet_v2_320"
    encoder_weights: str = "imagenet"
    image_size: int = Field(default=256, ge=32, multiple_of=16)
    augment: Literal["none", "scale_crop", "strong"] = "scale_crop"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    structures: tuple[str, ...] = Field(default=("cup", "disc"), min_length=1)
    scattered: tuple[str, ...] = ()
    encoding: dict[int, tuple[str, ...]] = {0: ("cup", "disc"), 128: ("disc",), 255: ()}
    centres: dict[str, CentreSettings] = Field(default_factory=_benchmark_centres)
    train: TrainSettings = TrainSettings()

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
    def _names_and_folders_differ(self) -> "Settings":
        folders = [centre.folder for centre in self.centres.values()]
        if len(set(folders)) < len(folders):
            raise UserError(f"each centre must have a folder of its own, got {', '.join(folders)}")
        if len(set(self.structures)) < len(self.structures):
            raise UserError(f"structures must differ, got {', '.join(self.structures)}")
        if strange := set(self.scattered) - set(self.structures):
            raise UserError(f"scattered must name structures, got {', '.join(sorted(strange))}")
        return self

    @model_validator(mode="after")
    def _encodings_name_known_structures(self) -> "Settings":
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
    def run_name(self) -> str:
        """The ``name`` key, by default the variant."""
        return self.name or self.aspp


def load_settings(
    paths: Path | Sequence[Path] | None = None, overrides: Sequence[str] = ()
) -> Settings:
    """Read settings from YAML files and apply ``key=value`` overrides; what comes later wins.

    Mappings are merged key by key, so that one file may state the variant and another the centres.
    An encoding is one value: a later one takes the place of an earlier one as a whole. Centres that
    are named in files are all that there are.

    Args:
        paths: YAML files that name the keys they change; ``None`` for the defaults.
        overrides: Dot-list items such as ``train.epochs=10``, later ones winning.

    Returns:
        The checked, frozen settings.

    Raises:
        ConfigError: An unknown key, a wrong value, or a file that is not a YAML mapping.
        FileNotFoundError: One of ``paths`` does not exist.
    """
    tree: dict[Any, Any] = {}
    for path in (paths,) if isinstance(paths, Path) else paths or ():
        tree = _merged(tree, _read_yaml(path))
    if "centres" not in tree and any(item.startswith("centres.") for item in overrides):
        tree["centres"] = Settings().model_dump()["centres"]
    for item in overrides:
        if "=" not in item or item.startswith("="):
            raise ConfigError(f"an override must read key=value, got {item!r}")
    try:
        given = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
        plain = OmegaConf.to_container(OmegaConf.create(_merged(tree, given)), resolve=True)
    except (OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"settings cannot be merged: {' '.join(str(error).split())}") from error
    return parse_settings(plain)


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be a YAML file: {' '.join(str(error).split())}") from error
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping of keys, got {type(tree).__name__}")
    return tree


def _merged(tree: Mapping[Any, Any], later: Any) -> dict[Any, Any]:
    merged = dict(tree)
    for key, value in later.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both and key != "encoding" else value
    return merged


def parse_settings(tree: Any) -> Settings:
    """Check a plain tree of settings.

    Raises:
        ConfigError: With one line that names the key, what arrived and what would do.
    """
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from error


def dump_settings(settings: Settings) -> str:
    """The settings as YAML, every key written out, readable by :func:`load_settings`."""
    tree = settings.model_dump(mode="json")
    tree["encoding"] = dict(settings.encoding)  # JSON would turn the pixel values into strings
    for letter, centre in settings.centres.items():
        tree["centres"][letter]["encoding"] = centre.encoding
    return yaml.safe_dump(_lists(tree), sort_keys=False, allow_unicode=True)


def _lists(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _lists(value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return [_lists(value) for value in tree]
    return tree


def _one_line(error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "settings"
        if item["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, _known_keys(), n=1, cutoff=0.5)
            hint = f", did you mean '{close[0]}'?" if close else "; see configs/base.yaml"
            problems.append(f"unknown key '{key}'{hint}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            problems.append(f"{key}: {message[0].lower() + message[1:]}, got {item['input']!r:.80}")
    return "; ".join(problems)


def _known_keys() -> list[str]:
    nested = [f"train.{key}" for key in TrainSettings.model_fields]
    return [*Settings.model_fields, *nested]
