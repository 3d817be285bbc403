"""A run in the hub's layout: its card, its loading, and a cache that needs no network."""

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard
from PIL import Image

import tvseg
import tvseg.integrations.smp
from tests.documents import blocks
from tvseg.cli import cli
from tvseg.errors import UserError
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def exported(scored_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hub") / "new" / "folder"
    result = run("export", scored_run.path, "--to", "hub", "--out", out)
    assert result.exit_code == 0, result.output
    assert [path.name for path in out.parent.iterdir()] == ["folder"]
    return out


@pytest.fixture(scope="module")
def photograph(phantoms: Path) -> Path:
    return next((phantoms / "FullField" / "image").iterdir())


@pytest.fixture
def cache(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with the repository clinic/discs in it, and no network."""
    repository = tmp_path / "models--clinic--discs"
    shutil.copytree(exported, repository / "snapshots" / "c0ffee")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def no_network(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_card_says_what_a_reader_needs(exported: Path, scored_run: RunFolder) -> None:
    card = ModelCard.load(exported / "README.md")
    assert card.data.license == "other"
    assert card.data.library_name == "tvseg"
    assert card.data.pipeline_tag == "image-segmentation"
    summary = json.loads((scored_run.path / "eval" / "honest" / "summary.json").read_text())
    (wanted,) = (
        row for row in summary["scores"]
        if (row["metric"], row["structure"], row["variant"]) == ("dice", "disc", "dense")
    )  # fmt: skip
    results = {(r.metric_type, r.metric_name.split()[0]): r for r in card.data.eval_results}
    disc = results["dice", "disc"]
    assert disc.dataset_name == "Drishti-GS"
    assert disc.metric_value == pytest.approx(wanted["mean"], abs=1e-4)
    assert disc.metric_args["n"] == wanted["n"] > 0
    assert (
        f"| Drishti-GS | {wanted['n']} (test) | disc | DSC, % | {wanted['mean']:.2f}" in card.text
    )
    assert f"| honest | {disc.metric_args['date']} |" in card.text
    for head in ("Intended use", "Scores", "Data", "Licence", "Limits"):
        assert f"## {head}" in card.text
    assert "Held out: Drishti-GS." in card.text


def test_no_path_of_this_machine_is_passed_on(scored_run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(scored_run.path, tmp_path / "run")))
    network, card = load_network(copy.best)
    private = {"data": "/home/me/data", "init": "/home/me/a.pt", "encoder_weights": "/home/me/b.pt"}
    settings = card.settings.model_copy(update=private)
    save_weights(copy.best, network, card.model_copy(update={"settings": settings}))
    assert b"/home/me" in copy.best.read_bytes()
    assert str(scored_run.path.parent.parent).encode() in (copy.path / "run.json").read_bytes()
    result = run("export", copy.path, "--to", "hub", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes().replace(str(tmp_path / "out").encode(), b"")
        assert b"/home/me" not in content, path
        assert str(tmp_path.parent).encode() not in content, path


def test_the_folder_predicts_as_the_run_does(
    exported: Path, scored_run: RunFolder, photograph: Path
) -> None:
    wanted, given = (tvseg.load(model)(photograph) for model in (scored_run.path, exported))
    assert given.window == wanted.window
    for structure, mask in wanted.masks.items():
        assert np.array_equal(given.masks[structure], mask)
        assert np.array_equal(given.probabilities[structure], wanted.probabilities[structure])


def test_smp_loads_the_folder(exported: Path, scored_run: RunFolder) -> None:
    network, _ = load_network(scored_run.best)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(smp.from_pretrained(exported).eval()(image), network(image))


@pytest.mark.usefixtures("cache")
def test_a_cached_repository_loads_without_a_network(
    exported: Path, photograph: Path, tmp_path: Path
) -> None:
    model = tvseg.load("clinic/discs")
    assert model.localizer is not None
    assert model.about["models"][0]["name"] == "discs"
    done = run("predict", photograph, "--model", "clinic/discs", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    (mask,) = (tmp_path / "out" / "masks").iterdir()
    assert np.array_equal(np.asarray(Image.open(mask)), tvseg.load(exported)(photograph).labels)


@pytest.mark.usefixtures("cache")
def test_the_cards_snippet_runs(exported: Path) -> None:
    (snippet,) = blocks(exported / "README.md", "python")
    scope: dict[str, object] = {}
    exec(snippet, scope)  # the card's own text
    assert isinstance(scope["model"], tvseg.inference.load.Model)


@pytest.mark.usefixtures("cache")
def test_a_repository_that_cannot_be_fetched_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network\nat all")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    with pytest.raises(UserError, match=r"no network at all.*hf download clinic/cups") as caught:
        tvseg.load("clinic/cups")
    assert "\n" not in str(caught.value)


def test_a_repository_is_fetched_where_the_cache_lacks_it(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def snapshot(repo_id: str, *, local_files_only: bool = False, **_: object) -> str:
        asked.append(local_files_only)
        if False not in asked:  # nothing was fetched yet
            raise FileNotFoundError(repo_id)
        return str(exported)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: None)
    assert tvseg.load("clinic/discs").cards[0].holdout == "A"
    assert asked == [True, False, True]  # then it is in the cache


def test_pushing_makes_a_private_repository(
    scored_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, object]] = []

    class Hub:
        def create_repo(self, repo_id: str, **options: object) -> None:
            calls.append((repo_id, options["private"]))

        def upload_folder(self, *, repo_id: str, folder_path: Path) -> str:
            calls.append((repo_id, (folder_path / "README.md").read_text()))
            return "https://hub/clinic/discs"

    monkeypatch.setattr("tvseg.integrations.hub.HfApi", Hub)
    words = ("export", scored_run.path, "--to", "hub", "--licence", "cc-by-4.0")
    done = run(*words, "--out", tmp_path / "out", "--push", "clinic/discs")
    assert done.exit_code == 0, done.output
    assert "Pushed to https://hub/clinic/discs" in done.stdout
    assert calls[0] == ("clinic/discs", True)
    assert "tvseg.load('clinic/discs')" in str(calls[1][1])
    assert "license: cc-by-4.0" in str(calls[1][1])
    monkeypatch.setattr(Hub, "create_repo", lambda *_, **__: 1 / 0)
    failed = run(*words, "--out", tmp_path / "other", "--push", "clinic/discs")
    assert failed.exit_code == 1
    assert "was not pushed to clinic/discs (ZeroDivisionError" in failed.stderr
    assert (tmp_path / "other" / "README.md").is_file()


def test_a_folder_with_files_is_left_alone(scored_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    result = run("export", scored_run.path, "--to", "hub", "--out", tmp_path)
    assert result.exit_code == 1
    assert "must be a new or an empty folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_a_folder_that_is_no_run_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    result = run("export", tmp_path / "run", "--to", "hub", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "must be a run folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_damaged_scores_are_named(scored_run: RunFolder, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(scored_run.path, tmp_path / "run"))
    (copy / "eval" / "honest" / "summary.json").write_text('{"scores": [{"metric": "dice"}]}')
    result = run("export", copy, "--to", "hub", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "summary.json is damaged" in result.stderr
    assert not (tmp_path / "out").exists()
