import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED
from tvseg.errors import UserError
from tvseg.verification.data.packs import read_pack

GOLDEN = SHARED / "data" / "face_formats"
PICTURES, LABELS = [b"one", b"two", b"three\xff", b"four"], [True, False]


@pytest.mark.parametrize("protocol", range(6))
def test_packs_of_every_protocol(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(pickle.dumps((PICTURES, LABELS), protocol=protocol))
    assert read_pack(tmp_path / "x.bin") == (PICTURES, LABELS)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_packs_of_numpy_objects(protocol: int, tmp_path: Path) -> None:
    arrays = [np.frombuffer(picture, np.uint8) for picture in PICTURES]
    content = (arrays, list(np.array(LABELS)))
    (tmp_path / "x.bin").write_bytes(pickle.dumps(content, protocol=protocol))
    assert read_pack(tmp_path / "x.bin") == (PICTURES, LABELS)


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pack_is_called(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = ([b"a", Bomb(marker)], [True])
    (tmp_path / "x.bin").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(UserError, match=r"asks to call \w+\.system.*nothing was called"):
        read_pack(tmp_path / "x.bin")
    assert not marker.exists()
    pickle.loads((tmp_path / "x.bin").read_bytes())  # the bomb is a real one
    assert marker.exists()


@pytest.mark.parametrize(
    "content",
    [5, None, ([b"a"], [True]), ([], []), ([b"a", b""], [True]), ([b"a", "b"], [True]),
     ([b"a", b"b"], [2]), ([b"a", b"b"], ["x"]), {"a": 1}],
)  # fmt: skip
def test_other_pickles_are_refused(content: object, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=r"x\.bin"):
        read_pack(tmp_path / "x.bin")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = pickle.dumps((PICTURES, LABELS))
    for length in range(len(whole)):
        (tmp_path / "x.bin").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"x\.bin"):
            read_pack(tmp_path / "x.bin")


def test_flipped_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    whole = pickle.dumps((PICTURES, LABELS), protocol=2)
    draws = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[draws.integers(len(whole))] = draws.integers(256)
        (tmp_path / "x.bin").write_bytes(bytes(damaged))
        try:
            read_pack(tmp_path / "x.bin")
        except UserError:
            refused += 1
    assert 100 < refused < 500


def test_a_large_memo_index_allocates_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\x80\x02]r\xff\xff\xff\x7f.")
    with pytest.raises(UserError, match="numbers an object 2147483647"):
        read_pack(tmp_path / "x.bin")


def golden() -> list[Path]:
    return sorted(GOLDEN.glob("pack_*.bin"))


def test_golden_packs(tmp_path: Path) -> None:
    if not golden():
        pytest.skip(f"needs the golden files in {GOLDEN}")
    expected = json.loads((GOLDEN / "expected.json").read_text())["packs"]["pairs"]
    sound = [path for path in golden() if "malicious" not in path.name]
    assert len(sound) == 6
    for path in sound:
        pictures, labels = read_pack(path)
        digests = [hashlib.md5(picture).hexdigest() for picture in pictures]
        assert [
            {"left": digests[2 * k], "right": digests[2 * k + 1], "same": same}
            for k, same in enumerate(labels)
        ] == expected, path.name


def test_the_malicious_golden_pack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not golden():
        pytest.skip(f"needs the golden files in {GOLDEN}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="asks to call"):
        read_pack(GOLDEN / "pack_malicious.bin")
    assert list(tmp_path.iterdir()) == []
