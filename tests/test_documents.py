from pathlib import Path

import pytest

from tvseg.config import load_settings
from tvseg.documents import MAX_YAML_BYTES, parse_yaml
from tvseg.errors import UserError

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "more than 20000 nodes"),
        ("structures: &a [*a]", r"alias \*a has no anchor before it or is inside it"),
        ("[" * 3000 + "]" * 3000, "50 levels"),
        ("{a: " * 3000, "50 levels"),
        ("a: [", "while parsing a flow node"),
        ("a: *b", "alias"),
        ("#" * (MAX_YAML_BYTES + 1), "at most 262144 bytes"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
        ("a: 2024-99-99", "month must be in 1..12"),
        ("? [a]\n: b", "unhashable key"),
        ("a: 1\nb: 2\na: 3", "key 'a' is given twice, in line 1 and line 3"),
        ("a: {1: x,\n 0x1: y}", "key '0x1' is given twice, in line 1 and line 2"),
    ],
    ids=["laughs", "recursive", "deep", "deep, open", "cut", "no anchor", "long", "tag", "digits",
         "date", "key", "twice", "twice inside"],
)  # fmt: skip
def test_yaml_beyond_bounds_or_damaged_gets_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        load_settings(path)
    assert "\n" not in str(caught.value)
    assert "bad.yaml" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_aliases_within_bounds_are_read() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {d: *x}", "here") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": [1, 2]},
    }


def test_a_byte_order_mark_is_read() -> None:
    assert parse_yaml("\ufeffa: ü".encode(), "here") == {"a": "ü"}


def test_merged_keys_may_be_given_again() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}"
    assert parse_yaml(text, "here")["b"] == {"x": 3, "y": 2}
