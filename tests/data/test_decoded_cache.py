import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from tvseg.data.cache.folder import FOLDER, VARIABLE, cache_folder, say_once
from tvseg.data.cases import Case, find_cases
from tvseg.data.centres import centres_of
from tvseg.data.dataset import LoadedCases, load_cases
from tvseg.data.fingerprint import Identities, identify_all
from tvseg.settings import SegmentationSettings


@pytest.fixture
def root(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of one centre, without a cache."""
    monkeypatch.delenv(VARIABLE, raising=False)
    cache_folder.cache_clear()
    folder = centres_of(SegmentationSettings())["A"].folder
    shutil.copytree(phantoms / folder, tmp_path / "data" / folder)
    return tmp_path / "data"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the cases that are decoded."""
    decoded: list[str] = []
    read = Case.read

    def noted(case: Case) -> tuple[np.ndarray, np.ndarray]:
        decoded.append(case.id)
        return read(case)

    monkeypatch.setattr(Case, "read", noted)
    return decoded


def _cases(root: Path) -> list[Case]:
    return find_cases(root, centres_of(SegmentationSettings())["A"])


def _same(one: tuple[LoadedCases, Identities], other: tuple[LoadedCases, Identities]) -> bool:
    return (
        np.array_equal(one[0].images, other[0].images)
        and np.array_equal(one[0].masks, other[0].masks)
        and one[1] == other[1]
    )


def test_cases_are_decoded_once_for_each_size(root: Path, reads: list[str]) -> None:
    cases = _cases(root)
    first = load_cases(cases, image_size=48)
    assert len(reads) == len(cases)
    assert _same(load_cases(cases, image_size=48), first)
    assert identify_all(cases) == first[1]
    assert len(reads) == len(cases)
    load_cases(cases, image_size=32)
    assert len(reads) == 2 * len(cases)
    turned, identities = load_cases(cases[::-1], image_size=48)
    assert np.array_equal(turned.images, first[0].images[::-1])
    assert list(identities) == [case.id for case in cases[::-1]]


def test_the_cache_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = _cases(root)
    kept = [load_cases(cases, image_size=48) for _ in range(2)][1]
    monkeypatch.setenv(VARIABLE, "none")
    cache_folder.cache_clear()
    assert _same(load_cases(cases, image_size=48), kept)


def test_changed_files_are_noticed_and_old_entries_removed(root: Path, reads: list[str]) -> None:
    cases = _cases(root)
    load_cases(cases, image_size=48)
    older = set((root / FOLDER).iterdir())
    one, other = cases[0].image_path, cases[1].image_path
    content = other.read_bytes()
    one.write_bytes(content)
    reads.clear()
    loaded, identities = load_cases(cases, image_size=48)
    assert len(reads) == len(cases)
    assert np.array_equal(loaded.images[0], loaded.images[1])
    assert identities[cases[0].id].image == identities[cases[1].id].image
    assert len(set((root / FOLDER).iterdir())) == len(older)


def test_centres_of_one_letter_keep_their_entries(root: Path, reads: list[str]) -> None:
    cases = _cases(root)
    other = replace(cases[0].centre, folder="other")
    shutil.copytree(root / cases[0].centre.folder, root / "other")
    load_cases(cases, image_size=48)
    load_cases(find_cases(root, other), image_size=48)
    reads.clear()
    load_cases(cases, image_size=48)
    assert not reads


@pytest.mark.parametrize("name", ["*/images.npy", "*/masks.npy", "*-48-*/digests.json"])
def test_a_damaged_entry_is_made_anew(root: Path, reads: list[str], name: str) -> None:
    cases = _cases(root)
    first = load_cases(cases, image_size=48)
    (path,) = (root / FOLDER).glob(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    reads.clear()
    assert _same(load_cases(cases, image_size=48), first)
    assert len(reads) == len(cases)
    reads.clear()
    assert _same(load_cases(cases, image_size=48), first)
    assert not reads


@pytest.mark.parametrize("content", [b"", b"PK\3\4"], ids=["empty", "archive"])
def test_an_entry_without_its_array_is_made_anew(root: Path, content: bytes) -> None:
    first = load_cases(_cases(root), image_size=48)
    (path,) = (root / FOLDER).glob("*/images.npy")
    path.write_bytes(content)
    assert _same(load_cases(_cases(root), image_size=48), first)


def test_processes_that_need_the_same_cases_wait_for_the_first(
    root: Path, reads: list[str]
) -> None:
    cases = _cases(root)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: load_cases(cases, image_size=48), range(2))
    assert _same(one, other)
    assert len(reads) == len(cases)


def test_a_root_that_cannot_be_written_keeps_its_cache_elsewhere(
    root: Path,
    reads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    say_once.cache_clear()
    access = os.access

    def refuse(path: Path, mode: int) -> bool:
        return FOLDER not in str(path) and access(path, mode)

    monkeypatch.setattr(os, "access", refuse)
    cases = _cases(root)
    for _ in range(2):
        load_cases(cases, image_size=48)
    assert len(reads) == len(cases)
    assert len(list((tmp_path / "home" / "tvseg").glob("*/images.npy"))) == 1
    assert [record.message.count("cannot be written") for record in caplog.records] == [1]


@pytest.mark.parametrize("step", [(np, "save"), (FileLock, "acquire")])
def test_a_full_disk_is_said_once_and_harms_nothing(
    root: Path,
    step: tuple[object, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    say_once.cache_clear()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*step, full)
    cases = _cases(root)
    assert _same(load_cases(cases, image_size=48), load_cases(cases, image_size=48))
    assert sum("are not kept" in record.message for record in caplog.records) == 1
