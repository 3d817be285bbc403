"""Reading of settings: YAML files and key=value overrides, merged and checked."""

import difflib
import logging
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, overload

import yaml
from pydantic import BaseModel, ValidationError

from tvseg.documents import MAX_YAML_BYTES, parse_yaml, problem
from tvseg.errors import UsageError, UserError
from tvseg.files import read_bytes
from tvseg.first_weights import as_stored
from tvseg.settings import OLD_SELECTIONS, RunSettings, SegmentationSettings

CONFIGS = Path(str(resources.files("tvseg"))) / "configs"
"""Configs that are shipped with the package."""

_log = logging.getLogger("tvseg")


S = TypeVar("S", bound=RunSettings)


class ConfigError(UsageError):
    """A setting that is misspelt, of the wrong type or out of range."""


@overload
def load_settings(
    configs: str | Path | Sequence[str | Path] | None = ..., overrides: Sequence[str] = ...
) -> SegmentationSettings: ...
@overload
def load_settings(
    configs: str | Path | Sequence[str | Path] | None, overrides: Sequence[str], model: type[S]
) -> S: ...
def load_settings(
    configs: str | Path | Sequence[str | Path] | None = None,
    overrides: Sequence[str] = (),
    model: type[Any] = SegmentationSettings,
) -> Any:
    """Read settings from YAML files and apply ``key=value`` overrides; later ones win.

    Mappings are merged key by key, so that one file may give the variant and another the centres.
    An encoding is one value: a later one replaces an earlier one as a whole. Centres that are
    named in files are all that there are.

    Args:
        configs: YAML files that name the keys they change, or names of shipped configs, such as
            ``tvconv``; ``None`` for the defaults.
        overrides: Items such as ``train.epochs=10``; values are YAML.
        model: Class of the settings; one for each task.

    Returns:
        The checked, frozen settings.

    Raises:
        ConfigError: An unknown key, a wrong value, a file that is not a YAML mapping, or a
            config that does not exist.
    """
    tree: dict[Any, Any] = {}
    for config in (configs,) if isinstance(configs, str | Path) else configs or ():
        tree = _merged(tree, _read_config(config))
    if (
        model is SegmentationSettings
        and "centres" not in tree
        and any(item.startswith("centres.") for item in overrides)
    ):
        tree["centres"] = SegmentationSettings().model_dump()["centres"]
    for item in overrides:
        tree = _merged(tree, _parse_override(item))
    if "protocol" in tree:
        _log.warning(
            "the key protocol is now selection: %s; protocol is still read",
            ", ".join(f"{old} is {new}" for old, new in OLD_SELECTIONS.items()),
        )
    return parse_settings(tree, model)


def read_settings(path: Path, model: type[S]) -> S:
    """Read the settings that :func:`dump_settings` wrote, of this version or an earlier one.

    Raises:
        ConfigError: No such file, or not one of settings.
    """
    tree = _read_config(path)
    return parse_settings(as_stored(tree) if model is SegmentationSettings else tree, model)


def find_config(name: str | Path) -> Path:
    """Return the file of a config: a path, or the name of a shipped one.

    Raises:
        ConfigError: There is neither; the message lists the shipped ones.
    """
    path = Path(name)
    if path.is_file():
        return path
    files = CONFIGS.rglob("*.yaml")
    shipped = {file.relative_to(CONFIGS).with_suffix("").as_posix(): file for file in files}
    if str(name) not in shipped:
        offered = sorted(name for name, file in shipped.items() if not _is_sweep(file))
        raise ConfigError(
            f"config {str(name)!r} must be a YAML file or one of those shipped: "
            f"{', '.join(offered)}"
        )
    return shipped[str(name)]


def _is_sweep(config: Path) -> bool:
    """Return whether a shipped config is a sweep file, which names variants of settings."""
    return "variants" in parse_yaml(config.read_bytes(), config)


def _read_config(config: str | Path) -> dict[Any, Any]:
    path = find_config(config)
    try:
        tree = parse_yaml(read_bytes(path, limit=MAX_YAML_BYTES), path)
    except UserError as error:
        raise ConfigError(str(error)) from error
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold a mapping of keys, got {type(tree).__name__}")
    return tree


def _parse_override(item: str) -> dict[Any, Any]:
    """Return ``a.b=value`` as the tree ``{"a": {"b": value}}``."""
    key, equals, text = item.partition("=")
    parts = key.split(".")
    if not equals or not all(parts) or len(parts) > 5:
        raise ConfigError(f"an override must read key=value, got {item!r:.80}")
    try:
        tree = parse_yaml(text, key)
    except UserError as error:
        raise ConfigError(str(error)) from error
    for part in reversed(parts):
        tree = {part: tree}
    return dict(tree)


def _merged(tree: Mapping[Any, Any], later: Mapping[Any, Any]) -> dict[Any, Any]:
    merged = dict(tree)
    for key, value in later.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both and key != "encoding" else value
    return merged


def parse_settings(tree: Any, model: type[S]) -> S:
    """Check a plain tree of settings.

    Raises:
        ConfigError: With one line that names the key, what arrived and what would be right.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        problems = (_problem(item, model) for item in error.errors()[:5])
        raise ConfigError("; ".join(problems)) from error


def _problem(item: Any, model: type[RunSettings]) -> str:
    if item["type"] != "extra_forbidden":
        return problem(item)
    key = ".".join(str(part) for part in item["loc"])
    sections = {name: field.annotation for name, field in model.model_fields.items()}
    known = [*sections] + [
        f"{section}.{name}"
        for section, kind in sections.items()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name in kind.model_fields
    ]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    file = "configs/base.yaml" if model is SegmentationSettings else "its example in configs/"
    hint = f", did you mean '{close[0]}'?" if close else f"; see {file}"
    return f"unknown key '{key:.80}'{hint}"


def dump_settings(settings: RunSettings) -> str:
    """Return settings as YAML, every key written out, readable by :func:`load_settings`."""
    tree = settings.model_dump(mode="json")
    if isinstance(settings, SegmentationSettings):
        tree["encoding"] = dict(settings.encoding)  # JSON would turn pixel values into strings
        for letter, centre in settings.centres.items():
            tree["centres"][letter]["encoding"] = centre.encoding
    return yaml.safe_dump(_lists(tree), sort_keys=False, allow_unicode=True)


def _lists(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _lists(value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return [_lists(value) for value in tree]
    return tree
