"""YAML read within bounds, and plain trees checked against a model."""

from collections.abc import Iterator
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, NodeEvent
from yaml.nodes import MappingNode, ScalarNode

from tvseg.errors import UserError

MAX_YAML_BYTES = 256 * 1024
MAX_YAML_NODES = 20_000
MAX_YAML_DEPTH = 50

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML's own loader takes the last value."""

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and not key.tag.endswith((":merge", ":value")):
                name, line = self.construct_object(key), key.start_mark.line + 1
                if name in lines:
                    raise ValueError(
                        f"key {key.value!r} is given twice, in line {lines[name]} and line {line}"
                    )
                lines[name] = line
        return node


def parse_yaml(content: bytes | str, source: object) -> Any:
    """Return what a YAML document holds.

    Args:
        content: The document.
        source: Where it comes from, named in errors.

    Raises:
        UserError: Not YAML, a key that is given twice, or too many bytes, nodes or levels, aliases
            expanded.
    """
    if len(content) > MAX_YAML_BYTES:
        raise UserError(f"{source}: YAML must have at most {MAX_YAML_BYTES} bytes")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        _check_size(yaml.parse(text, Loader=yaml.SafeLoader))
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{source}: cannot be read as YAML: {reason}") from error


def _check_size(events: Iterator[Event]) -> None:
    """Raise ValueError if a document has too many nodes or levels, aliases counted in full."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the number of nodes before it
    nodes = 0
    for event in events:
        if isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"alias *{event.anchor} has no anchor before it or is inside it")
            nodes += sizes[event.anchor]
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = nodes - before
        elif isinstance(event, NodeEvent):
            if isinstance(event, CollectionStartEvent):
                open_nodes.append((event.anchor, nodes))
            elif event.anchor:
                sizes[event.anchor] = 1
            nodes += 1
        if nodes > MAX_YAML_NODES or len(open_nodes) > MAX_YAML_DEPTH:
            raise ValueError(
                f"more than {MAX_YAML_NODES} nodes, aliases expanded, or {MAX_YAML_DEPTH} levels"
            )


def check_tree(model: type[Model], tree: Any, source: object) -> Model:
    """Return a plain tree as a model.

    Args:
        model: What the tree must hold.
        tree: Mappings, lists, text and numbers.
        source: Where it comes from, named in errors.

    Raises:
        UserError: With one line that names the keys, what is wrong and what arrived.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        problems = (_problem_of(item, model) for item in error.errors()[:5])
        raise UserError(f"{source}: {'; '.join(problems)}") from error


def _problem_of(item: Any, model: type[BaseModel]) -> str:
    if item["type"] != "extra_forbidden" or len(item["loc"]) > 1:
        return problem(item)
    return f"unknown key '{item['loc'][0]!s:.80}'; known are {', '.join(model.model_fields)}"


def problem(item: Any) -> str:
    """Return one of the errors of a ``ValidationError`` as text."""
    key = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    check_of_all = item["type"] == "value_error" and not item["loc"]  # its input is the whole tree
    shown = item["type"] != "missing" and not check_of_all
    got = f", got {item['input']!r:.80}" if shown else ""
    return f"{key}{': ' if key else ''}{message[0].lower() + message[1:]}{got}"
