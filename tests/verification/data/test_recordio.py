import hashlib
import json
import struct
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tvseg.errors import UserError
from tvseg.verification.data.recordio import MAGIC, RecordFile

GOLDEN = SHARED / "data" / "face_formats"


def packed(payload: bytes, flag: int = 0) -> bytes:
    head = struct.pack("<II", MAGIC, flag << 29 | len(payload))
    return head + payload + b"\0" * (-len(payload) % 4)


def image_record(label: float, body: bytes, labels: tuple[float, ...] = ()) -> bytes:
    head = struct.pack("<IfQQ", len(labels), label, 0, 0)
    return head + struct.pack(f"<{len(labels)}f", *labels) + body


def write_archive(folder: Path, records: list[bytes]) -> Path:
    offset, index = 0, []
    for key, record in enumerate(records):
        index.append(f"{key}\t{offset}")
        offset += len(record)
    (folder / "train.idx").write_text("\n".join(index) + "\n")
    (folder / "train.rec").write_bytes(b"".join(records))
    return folder / "train.rec"


def test_header_and_identity_records_are_no_pictures(tmp_path: Path) -> None:
    header = packed(image_record(0, b"", labels=(3, 5)))
    pictures = [packed(image_record(0, b"one")), packed(image_record(7, b"two"))]
    identities = [packed(image_record(0, b"", labels=(1, 2)))] * 2
    found = list(RecordFile(write_archive(tmp_path, [header, *pictures, *identities])))
    assert [(r.key, r.identity, r.encoded) for r in found] == [(1, 0, b"one"), (2, 7, b"two")]


def test_without_a_header_every_record_is_a_picture(tmp_path: Path) -> None:
    path = write_archive(
        tmp_path, [packed(image_record(4, b"first")), packed(image_record(4, b"b"))]
    )
    assert [r.identity for r in RecordFile(path)] == [4, 4]
    assert len(RecordFile(path)) == 2


def test_the_magic_word_parts_a_record_and_comes_back(tmp_path: Path) -> None:
    word = struct.pack("<I", MAGIC)
    payload = image_record(1, b"abcd" + word + b"efgh")
    cut = len(payload) - 8
    parts = packed(payload[:cut], 1) + packed(payload[cut + 4 :], 3)
    (record,) = RecordFile(write_archive(tmp_path, [parts]))
    assert record.encoded == b"abcd" + word + b"efgh"


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_a_truncated_archive_is_refused(cut: int, tmp_path: Path) -> None:
    path = write_archive(tmp_path, [packed(image_record(1, b"x" * 40))])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"train\.rec: record 0 is damaged"):
        list(RecordFile(path))


@pytest.mark.parametrize(
    ("index", "message"),
    [("0\tx\n", "line 1: must be a key"), ("", "at least one"), ("0\t-4\n", "not be negative")],
)
def test_a_damaged_index_is_refused(index: str, message: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path, [packed(image_record(1, b"x"))])
    (tmp_path / "train.idx").write_text(index)
    with pytest.raises(UserError, match=message):
        RecordFile(path)


def test_labels_that_are_not_there_are_damage(tmp_path: Path) -> None:
    payload = struct.pack("<IfQQ", 2**31, 0, 0, 0)
    path = write_archive(tmp_path, [packed(payload)])
    with pytest.raises(UserError, match="announces 2147483648 labels"):
        list(RecordFile(path))


def test_a_missing_index_is_said(tmp_path: Path) -> None:
    (tmp_path / "train.rec").write_bytes(b"")
    with pytest.raises(UserError, match=r"needs its \.idx file beside it"):
        RecordFile(tmp_path / "train.rec")


@pytest.mark.parametrize("layout", ["rec_header0", "rec_array_labels", "rec_plain", "rec_split"])
def test_golden_archives(layout: str) -> None:
    if not GOLDEN.is_dir():
        pytest.skip(f"needs the golden files in {GOLDEN}")
    expected = json.loads((GOLDEN / "expected.json").read_text())[layout]
    found = list(RecordFile(GOLDEN / layout / "train.rec"))
    assert len(found) == len(expected)
    for record, wanted in zip(found, expected, strict=True):
        assert (record.key, record.identity) == (wanted["key"], wanted["label"])
        if "md5" in wanted:
            assert hashlib.md5(record.encoded).hexdigest() == wanted["md5"]
        else:
            assert record.encoded.hex() == wanted["hex"]
