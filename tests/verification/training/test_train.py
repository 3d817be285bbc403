import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.conftest import SHARED
from tests.verification.conftest import settings
from tvseg.cli import cli
from tvseg.errors import UserError
from tvseg.runs.affinity import read_course
from tvseg.runs.folder import RunFolder
from tvseg.training import curves
from tvseg.verification.compare import Comparison, compare_pictures
from tvseg.verification.data.pictures import Faces, read_pair_set
from tvseg.verification.distances import VALIDATION_FILE
from tvseg.verification.embedder import FaceEmbedder
from tvseg.verification.evaluation.evaluate import evaluate_faces
from tvseg.verification.evaluation.tables import score_tables
from tvseg.verification.network import FaceNetwork, load_face_network
from tvseg.verification.scoring import squared_distances
from tvseg.verification.training.batches import EpochBatches, FaceSet
from tvseg.verification.training.train import train_faces


def test_a_run_folder_is_finished(run: RunFolder) -> None:
    info = run.info()
    assert run.path.name == "mobilenet_v2_x0_1-depthwise-seed0"
    assert info["finished"]
    assert 0 <= info["best_accuracy"] <= 1
    assert info["chosen"] == "selected on validation pairs"
    rows = run.read_metrics()
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["learning_rate"]) == pytest.approx(0.01)
    network, card = load_face_network(run.best)
    assert (card.task, card.people) == ("verification", 5)
    assert card.epoch == info["best_epoch"]
    assert network.margin_loss.W.shape == (16, 5)


def test_a_resumed_run_is_the_same_bit_for_bit(
    root: Path, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tvseg.training.loop import TrainingLoop

    whole = TrainingLoop._log_epoch

    def stop(self: TrainingLoop, row: dict[str, object], images: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_log_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train_faces(settings(), root=root, runs=tmp_path)
    assert TrainingLoop._log_epoch is whole
    resumed = train_faces(settings(), root=root, runs=tmp_path, resume=True)
    one, two = (torch.load(r.last, weights_only=True)["network"] for r in (run, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_killed_before_its_validation_distances_gets_them(
    root: Path, run: RunFolder, tmp_path: Path
) -> None:
    killed = tmp_path / run.path.name
    shutil.copytree(run.path, killed)
    wanted = (killed / VALIDATION_FILE).read_text()
    (killed / VALIDATION_FILE).unlink()
    with pytest.raises(UserError, match=rf"must hold {VALIDATION_FILE}; 'tvseg faces train --res"):
        compare_pictures(*2 * [next(root.glob("eval/*/*.png"))], killed)
    last = (killed / "checkpoints" / "last.pt").read_bytes()
    train_faces(settings(), root=root, runs=tmp_path, resume=True)
    assert (killed / VALIDATION_FILE).read_text() == wanted
    assert (killed / "checkpoints" / "last.pt").read_bytes() == last
    (killed / VALIDATION_FILE).unlink()
    other = tmp_path / "root"
    shutil.copytree(root, other)
    shutil.rmtree(other / "train" / "p00000")
    with pytest.raises(UserError, match="fingerprint changed"):
        train_faces(settings(), root=other, runs=tmp_path, resume=True)


def test_mlflow_gets_the_settings_that_a_run_began_with(
    root: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []

    def kept(tracking: str, name: str, **how: Any) -> Mock:
        given.append({"store": tracking, **how.get("experiment_param", {})})
        return Mock()

    monkeypatch.setattr(curves, "_mlflow", kept)
    monkeypatch.setattr(curves, "TensorBoardStatsHandler", Mock())
    later = settings("tracking=sqlite:///x.db", "train.workers=3")
    curves.attach_curves(Mock(), Mock(), run=run, settings=later)
    assert given[-1]["store"] == "sqlite:///x.db"
    assert given[-1]["train.batch"] == later.train.batch
    assert given[-1]["train.workers"] == 0


def test_other_settings_need_another_name(root: Path, run: RunFolder) -> None:
    with pytest.raises(UserError, match="holds a run with other settings"):
        train_faces(settings("margin=0.2"), root=root, runs=run.path.parent)


def test_scores_of_a_run(root: Path, run: RunFolder) -> None:
    pairs = read_pair_set(root / "pairs_test.csv", side_px=32)
    rows = evaluate_faces([run.path], [pairs], protocol="honest")
    assert rows["accuracy"].between(0, 100).all()
    assert (run.path / "eval" / "honest" / "scores.json").is_file()
    table = (run.path / "eval" / "honest" / "pairs_test.csv").read_text().splitlines()
    assert len(table) == 1 + len(pairs.same)
    flipped = evaluate_faces([run.path], [pairs], protocol="insightface")
    assert flipped["accuracy"].iloc[0] != rows["accuracy"].iloc[0] or (
        flipped["auc"].iloc[0] != rows["auc"].iloc[0]
    )
    other = rows.assign(seed=1, run="other", accuracy=rows["accuracy"] + 2)
    import pandas as pd

    first, second = score_tables(pd.concat([rows, other]), protocol="paper")
    assert "leaks" in first.caption
    assert "± 1.41 (2 seeds)" in second.rows[0][3].text


def test_embeddings_do_not_depend_on_the_batch(root: Path, run: RunFolder) -> None:
    embedder = FaceEmbedder(run.path)
    pixels = read_pair_set(root / "pairs_test.csv", side_px=32).pixels[:5]
    alone = np.concatenate([embedder(pixels[k : k + 1]) for k in range(5)])
    assert cosines(embedder(pixels), alone).min() > 0.9999
    mirrored = embedder(np.ascontiguousarray(pixels[:, :, ::-1]), flip=True)
    assert cosines(embedder(pixels, flip=True), mirrored).min() > 0.9999
    assert cosines(embedder(pixels), mirrored).min() < 0.9999


def cosines(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return 1 - squared_distances(one, two) / 2


def test_two_pictures_are_compared(root: Path, run: RunFolder) -> None:
    picture = next((root / "eval").glob("*/*_0001.png"))
    found = compare_pictures(picture, picture, run.path)
    assert found.similarity == pytest.approx(1)
    assert str(found).startswith("same: similarity 1.000")
    strict = compare_pictures(picture, picture, run.path, threshold=0.0)
    assert strict.threshold == 1
    assert (strict.false_accepts, strict.true_accepts) == (0, 0)
    assert "0 % of those of one" in strict.warning
    with pytest.raises(UserError, match=r"must be a run folder, or its .*; got .*last.pt"):
        compare_pictures(picture, picture, run.last)


def test_a_threshold_that_errs_is_warned_of() -> None:
    bad = Comparison(0.9, 0.2, false_accepts=0.65, true_accepts=0.9)
    assert str(bad) == (
        "same: similarity 0.900, threshold 0.200, false accept rate 65.00 %, true accept rate "
        "90.00 % on the validation pairs"
    )
    assert bad.warning == (
        "Warning: at this threshold 65 % of the validation pairs of two people count as the same, "
        "and 90 % of those of one: the answer says little"
    )
    assert not Comparison(0.9, 0.2, false_accepts=0.05, true_accepts=0.9).warning


def test_a_validation_set_that_leaks_is_refused(root: Path, tmp_path: Path) -> None:
    leaking = tmp_path / "root"
    shutil.copytree(root, leaking)
    person = sorted((leaking / "eval").iterdir())[0]
    shutil.copytree(person, leaking / "train" / person.name)
    with pytest.raises(UserError, match=r"must share neither people nor pictures.*4 pictures"):
        train_faces(settings(), root=leaking, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("operator=tvcon", "operator must be one of depthwise, tvconv"),
        ("validation=nothing", r"validation must name a set of pairs below .*pairs_test"),
        ("train.batch=99", "fewer than one batch"),
        ("train.batchs=9", "unknown key 'train.batchs', did you mean 'train.batch'"),
        ("train.micro_batches=4", "micro_batches must divide batch"),
        ("train.log_affinity=true", "needs TVConv layers; operator=depthwise has none"),
        ("generator.start=pictures", "operator must be tvconv, which is depthwise"),
    ],
)
def test_wrong_settings_are_refused(more: str, message: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train_faces(settings(more), root=root, runs=tmp_path / "runs")


@pytest.mark.usefixtures("narrow_tvconv")
def test_tvconv_learns_affinity_maps(root: Path, tmp_path: Path) -> None:
    run = train_faces(
        settings("operator=tvconv", "stages=[6,7]", "train.log_affinity=true", "train.epochs=1",
                 "generator.start=pictures"),
        root=root, runs=tmp_path,
    )  # fmt: skip
    course = read_course(run.affinity)
    assert course.epochs.tolist() == [0, 1]
    assert len(course.maps) == 4
    assert any(not np.array_equal(maps[0], maps[1]) for maps in course.maps.values())
    first = next(iter(course.maps.values()))[0]
    assert first.std(axis=(1, 2)) == pytest.approx(1, abs=1e-3)
    out = tmp_path / "maps.png"
    shown = CliRunner().invoke(cli, ["show", "affinity", str(run.path), "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    assert out.is_file()
    assert (tmp_path / "maps-course.png").is_file()


def test_depthwise_runs_have_no_affinity_maps(run: RunFolder) -> None:
    shown = CliRunner().invoke(cli, ["show", "affinity", str(run.path)])
    assert shown.exit_code == 1
    assert "operator=depthwise has none" in shown.output


def test_every_picture_comes_once_an_epoch() -> None:
    batches = list(EpochBatches(10, batch=3, epochs=2, seed=1))
    assert [len(batch) for batch in batches] == [3] * 6
    first, second = ({index for b in part for _, index in b} for part in (batches[:3], batches[3:]))
    assert len(first) == len(second) == 9
    assert list(EpochBatches(10, batch=3, epochs=2, seed=1, first_step=4)) == batches[4:]
    assert list(EpochBatches(10, batch=3, epochs=2, seed=2)) != batches


def test_mirroring_depends_on_seed_epoch_and_picture_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3)).astype(np.uint8)
    faces = Faces(tuple(map(str, range(40))), pixels, np.zeros(40, int), ("a",))
    mirrored = [
        [not np.array_equal(FaceSet(faces, seed=s, flip=True)[e, k]["image"].permute(1, 2, 0),
                            pixels[k]) for k in range(40)]
        for s, e in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]  # fmt: skip
    assert mirrored[0] == mirrored[1]
    assert mirrored[0] not in mirrored[2:]
    assert 8 < sum(mirrored[0]) < 32
    still = FaceSet(faces, seed=0, flip=False)[0, 3]["image"].permute(1, 2, 0)
    assert np.array_equal(still, pixels[3])


def test_the_class_matrix_starts_with_columns_of_length_1_as_published() -> None:
    columns = FaceNetwork(settings(), 7).margin_loss.W.detach()
    assert columns.norm(dim=0).tolist() == pytest.approx([1] * 7)
    assert columns.std() > 0.1


def test_am_softmax_of_the_original_code() -> None:
    path = SHARED / "oracles" / "am_softmax.npz"
    if not path.is_file():
        pytest.skip(f"needs the numbers of the original code in {path}")
    oracle = np.load(path)
    network = FaceNetwork(settings(), 7).double()
    network.margin_loss.W.data = torch.from_numpy(oracle["logits/param/head.weight"])
    network.margin_loss.scale = 32.0
    features = torch.from_numpy(oracle["logits/in/feats"]).requires_grad_()
    loss = network.loss(features, torch.from_numpy(oracle["logits/in/labels"]))
    loss.backward()
    assert loss.item() == pytest.approx(float(oracle["loss"]), abs=1e-12)
    np.testing.assert_allclose(features.grad, oracle["loss_grad_feats"], atol=1e-12)
    np.testing.assert_allclose(network.margin_loss.W.grad, oracle["loss_grad_weight"], atol=1e-12)
