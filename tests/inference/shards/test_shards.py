import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow.parquet import read_table

from tests.inference.drawn import make_pipeline
from tests.inference.predicted import draw_fields, run
from tvseg.errors import UserError
from tvseg.inference.input.find import Photograph
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.tables import Tally
from tvseg.inference.pipeline import Pipeline, Segmentation
from tvseg.inference.shards import run as runs
from tvseg.inference.shards.merge import merge
from tvseg.inference.shards.parts import Parts
from tvseg.inference.shards.ray_engine import predict_on_ray
from tvseg.inference.shards.run import advice, predict_shard
from tvseg.inference.shards.shard import PhotographSet, Shard
from tvseg.localizer.locate import Location

FORMATS = ["mask", "coco"]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Photograph]:
    """Twelve photographs, one of them broken, one missing, one without a disc."""
    monkeypatch.setattr(runs, "ROWS", 3)
    folder = tmp_path / "in"
    folder.mkdir()
    found = draw_fields(folder, 12)
    (folder / "03.png").write_bytes(b"broken")
    (folder / "05.png").unlink()
    return found


def _pipeline() -> Pipeline:
    whole = make_pipeline().locate

    def locate(images: Sequence[np.ndarray]) -> list[Location]:
        return [
            Location(None, 0.25, "field") if len(image) == 107 else whole([image])[0]
            for image in images
        ]

    return make_pipeline(locate)


def _predict(
    photographs: Sequence[Photograph],
    out: Path,
    part: str = "1/1",
    *,
    pipeline: Pipeline | None = None,
    batch_size: int = 2,
    **about: Any,
) -> tuple[Tally, int]:
    pipeline = pipeline or _pipeline()
    encoding = pipeline.encoding
    folder = OutputFolder(out, formats=FORMATS, structures=encoding.structures)
    known = {
        "formats": FORMATS,
        "structures": list(encoding.structures),
        "encoding": {str(value): list(names) for value, names in encoding.values.items()},
    }
    return predict_shard(
        PhotographSet(photographs), Shard.parse(part), pipeline, folder,
        about=known | about, provenance={"command": "tvseg predict"},
        batch_size=batch_size, workers=2,
    )  # fmt: skip


def _tables(out: Path) -> dict[str, bytes]:
    files = [*out.glob("*.csv"), out / "coco.json", *(out / "masks").iterdir()]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_merged_shards_are_the_tables_of_one_process(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    run(photographs, tmp_path / "whole", formats=FORMATS, pipeline=_pipeline())
    out = tmp_path / "out"
    tallies = [_predict(photographs, out, f"{index}/3")[0] for index in (3, 1, 2)]
    assert sum(tally.predicted for tally in tallies) == 10
    assert all(tally.predicted + tally.failed >= 2 for tally in tallies)
    tally = merge([out], out)
    assert (tally.predicted, tally.failed, tally.flags["no disc"]) == (10, 2, 1)
    assert _tables(out) == _tables(tmp_path / "whole")
    rows = read_table(out / "rows").sort_by("number").to_pylist()
    assert [row["id"] for row in rows] == [f"{index:02d}" for index in range(12)]
    assert "cannot be read" in rows[3]["reason"]
    assert json.loads(rows[0]["annotations"])[0]["segmentation"]
    assert rows[7]["roi_row"] is None


def test_folders_of_several_machines_are_merged_into_another(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    for index in (1, 2):
        _predict(photographs, tmp_path / f"out{index}", f"{index}/2")
    _predict(photographs, tmp_path / "out1", "1/3")  # some photographs are in both
    merge([tmp_path / "out1", tmp_path / "out2"], tmp_path / "merged")
    run(photographs, tmp_path / "whole", formats=FORMATS, pipeline=_pipeline())
    for name in ("measurements.csv", "failures.csv", "coco.json"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_restart_leaves_finished_photographs_alone(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    seen: list[int] = []

    class Counted(Pipeline):
        def __call__(self, images: Sequence[np.ndarray]) -> list[Segmentation | UserError]:
            seen.extend(len(image) for image in images)
            if len(seen) == 7:
                raise KeyboardInterrupt
            return super().__call__(images)

    pipeline = _pipeline()
    counted = Counted(pipeline.ensemble, pipeline.locate)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        _predict(photographs, out, pipeline=counted)
    done = {row["id"] for row in read_table(out / "rows").to_pylist()}
    assert 3 <= len(done) < 12
    seen[:] = range(100, 120)
    tally, before = _predict(photographs, out, pipeline=counted)
    assert before == len(done)
    assert tally.predicted + tally.failed == 12 - before
    assert _predict(photographs, out)[1] == 12
    merge([out], out)
    run(photographs, tmp_path / "whole", formats=FORMATS, pipeline=_pipeline())
    assert _tables(out) == _tables(tmp_path / "whole")


def test_outputs_that_could_not_be_written_are_tried_again(
    photographs: list[Photograph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write = OutputFolder.write

    def full(self: OutputFolder, photograph: Photograph, files: Any) -> None:
        if photograph.id == "04":
            raise OSError(28, "No space left on device")
        write(self, photograph, files)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "write", full)
        tally = _predict(photographs, out)[0]
    assert (tally.failed, tally.unfinished) == (3, 1)
    assert advice(tally).startswith("2 failed; tvseg predict-merge lists them. 1 could not be writ")
    assert "give this command again before tvseg predict-merge" in advice(tally)
    with pytest.raises(UserError, match="1 of 12 photographs are missing"):
        merge([out], out)
    assert merge([out], out, incomplete=True).predicted == 9
    assert advice(Tally(failed=2)) == "2 failed; tvseg predict-merge lists them"
    assert _predict(photographs, out)[0].predicted == 1
    assert merge([out], out).predicted == 10


def test_other_predictions_are_not_mixed_in(photographs: list[Photograph], tmp_path: Path) -> None:
    out = tmp_path / "out"
    _predict(photographs, out, "1/2", model="one")
    with pytest.raises(UserError, match="model changed from one to other"):
        _predict(photographs, out, "2/2", model="other")
    with pytest.raises(UserError, match="batch_size changed from 2 to 3"):
        _predict(photographs, out, "2/2", model="one", batch_size=3)
    with pytest.raises(UserError, match="photographs changed"):
        _predict(photographs[:5], out, "2/2", model="one")
    _predict(photographs, tmp_path / "others", "2/2", model="other")
    with pytest.raises(UserError, match="model is one in"):
        merge([out, tmp_path / "others"], tmp_path / "merged")
    for key, value in (("shape", "ellipse"), ("adapt", "batchnorm")):
        _predict(photographs, tmp_path / key, "2/2", model="one", **{key: value})
        for pair in ([out, tmp_path / key], [tmp_path / key, out]):
            with pytest.raises(UserError, match=rf"{key} is .* in .* and .* in"):
                merge(pair, tmp_path / "merged")
    _predict(photographs, tmp_path / "named", "2/2", model="one", shape="free")
    merge([out, tmp_path / "named"], tmp_path / "merged")  # the first is as of an earlier version
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="must be a folder of tvseg predict --shard"):
        merge([tmp_path / "empty"], tmp_path / "merged-again")


def test_a_folder_that_is_refused_stays_as_it_is(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    _predict(photographs, tmp_path / "out")
    for name, content in {"trained": {"fingerprint": "a"}, "used": None}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").touch()
        if content:
            (folder / "run.json").write_text(json.dumps(content))
        before = sorted(folder.rglob("*"))
        with pytest.raises(
            UserError, match=r"about: field required|must be new or an empty folder"
        ):
            merge([tmp_path / "out"], folder)
        with pytest.raises(
            UserError, match=r"about: field required|must be new or an empty folder"
        ):
            run(photographs, folder, resume=True)
        assert sorted(folder.rglob("*")) == before


def test_damaged_rows_are_named(photographs: list[Photograph], tmp_path: Path) -> None:
    out = tmp_path / "out"
    _predict(photographs, out)
    path = next((out / "rows").iterdir())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=rf"{path.name} is damaged"):
        _predict(photographs, out)
    path.unlink()
    assert _predict(photographs, out)[1] < 12
    assert merge([out], out).predicted == 10


def test_a_flipped_bit_is_named_or_changes_nothing(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _predict(photographs, out)
    parts = Parts(out, _pipeline().encoding)
    path = parts.paths()[0]
    sound, whole = parts.read(path), path.read_bytes()
    refused = 0
    for place in range(4, len(whole), 31):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert parts.read(path).equals(sound)
        except UserError:
            refused += 1
    assert refused > 100


def test_folders_without_rows_have_empty_tables(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _predict(photographs, out)
    for path in (out / "rows").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="12 of 12 photographs are missing"):
        merge([out], out)
    assert merge([out], out, incomplete=True).predicted == 0


def test_a_record_that_lacks_a_part_is_refused(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _predict(photographs, out)
    info = json.loads((out / "run.json").read_text())
    del info["about"]["encoding"]
    (out / "run.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match="must be a folder of tvseg predict --shard"):
        merge([out], out)


def test_a_part_is_written_by_one_process_at_a_time(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _predict(photographs, out, "1/2")
    folder = OutputFolder(out, formats=FORMATS, structures=("cup", "disc"))
    with folder.lock("shard-1-of-2.lock"):
        with pytest.raises(UserError, match=r"shard 1/2 of .* is being written"):
            _predict(photographs, out, "1/2")
        _predict(photographs, out, "2/2")


def test_a_folder_holds_shards_or_one_run(photographs: list[Photograph], tmp_path: Path) -> None:
    shards, whole = tmp_path / "shards", tmp_path / "whole"
    _predict(photographs, shards, "1/2")
    run(photographs, whole, formats=FORMATS, pipeline=_pipeline())
    with pytest.raises(UserError, match=r"whole holds predictions of one process; give --resume "):
        _predict(photographs, whole, "1/2")
    with pytest.raises(UserError, match=r"shards holds .* or predict-merge; give --shard or"):
        run(photographs, shards, formats=FORMATS, pipeline=_pipeline(), resume=True)


def test_ray_is_refused_while_another_writes(photographs: list[Photograph], tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "out", formats=(), structures=("cup", "disc"))
    with folder.lock("ray.lock"), pytest.raises(UserError, match="is being written by another"):
        predict_on_ray(
            PhotographSet(photographs), _pipeline(), folder,
            about={}, provenance={}, load_options={}, jobs=1, batch_size=8, workers=1, address=None,
        )  # fmt: skip
