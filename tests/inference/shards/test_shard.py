import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tvseg.cli import cli
from tvseg.errors import UsageError
from tvseg.inference.input.find import Photograph
from tvseg.inference.shards.ray_engine import _photograph, _table
from tvseg.inference.shards.shard import Shard
from tvseg.remote_files import RemoteFile


def test_parts_depend_on_ids_alone() -> None:
    ids = [f"photograph-{number}" for number in range(1000)]
    parts = [[name for name in ids if Shard(index, 7).holds(name)] for index in range(1, 8)]
    assert sorted(name for part in parts for name in part) == sorted(ids)
    assert all(110 < len(part) < 180 for part in parts)
    # the same in all versions and on all machines
    assert [name for name in ids[:12] if Shard(1, 4).holds(name)] == [
        "photograph-2",
        "photograph-5",
        "photograph-7",
        "photograph-9",
    ]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "-1/2", "1/0", "1/2/3", "1 / 2"])
def test_only_parts_that_exist_are_taken(text: str) -> None:
    with pytest.raises(UsageError, match="shard must be I/N"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "1/2", "--engine", "ray"], "give --shard or --engine ray"),
        (["--shard", "1/2", "--resume"], "leave --resume out"),
        (["--shard", "3/2"], "shard must be I/N"),
        (["--jobs", "2"], "--jobs and --address need --engine ray"),
        (["--engine", "ray", "--adapt", "batchnorm"], "--adapt cannot be used with --engine ray"),
        (["--engine", "ray", "--device", "cuda"], "--engine ray computes on CPUs"),
    ],
)
def test_options_that_exclude_each_other(words: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["predict", str(tmp_path), "--out", str(tmp_path / "o"), *words])
    assert done.exit_code == 2
    assert message in done.output


def test_actors_get_paths_that_are_no_text_and_whole_urls() -> None:
    files = (Path(os.fsdecode(b"/photos/\xff.png")), RemoteFile("https://a/b.png?Signature=c"))
    photographs = [Photograph(str(number), file) for number, file in enumerate(files)]
    rows = _table(dict(enumerate(photographs))).to_pylist()
    assert [_photograph(row) for row in rows] == photographs
