import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from tvseg.config import load_settings
from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.runs import checkpoint
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import load_training, save_training, save_weights
from tvseg.runs.segmentation import load_network, network_of
from tvseg.training.averaging import MovingAverage

SETTINGS = load_settings(None, ["aspp=tvconv", "image_size=64", "encoder_weights=none"])
CARD = SegmentationCard(
    settings=SETTINGS,
    holdout="B",
    fingerprint="f00d",
    epoch=7,
    chosen="selected on sources",
    normalisation=Normalisation(100.0, 50.0),
)


pytestmark = pytest.mark.usefixtures("narrow_tvconv")


@pytest.fixture(scope="module")
def saved(narrow_tvconv: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    network = network_of(SETTINGS, pretrained=False).to(memory_format=torch.channels_last)
    save_weights(folder / "best.safetensors", network, CARD)
    save_training(
        folder / "last.pt", network, CARD, {"optimizer": {}}, previous=folder / "previous.pt"
    )
    network.segmentation_head[0].bias.data[0] = float("nan")
    save_weights(folder / "nan.safetensors", network, CARD)
    return folder


def test_both_kinds_give_card_and_weights_back(saved: Path) -> None:
    first, card = load_network(saved / "best.safetensors")
    second, second_card = load_network(saved / "last.pt")
    assert card == second_card == CARD
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(first(image), second(image))


@pytest.mark.parametrize("updates", [0, 2])
def test_the_average_of_a_training_is_loaded_once_there_is_one(
    updates: int, tmp_path: Path
) -> None:
    network = network_of(SETTINGS, pretrained=False)
    average = MovingAverage(network)
    bias = network.segmentation_head[0].bias
    for value in range(updates):
        nn.init.constant_(bias, value)
        average.update(value + 1)
    nn.init.constant_(bias, 5)
    path = tmp_path / "last.pt"
    save_training(path, network, CARD, average.state(), previous=tmp_path / "previous.pt")
    loaded = load_network(path)[0].segmentation_head[0].bias
    assert loaded.tolist() == pytest.approx([9 / 11 if updates else 5] * 2)
    assert load_training(path)["network"]["segmentation_head.0.bias"].tolist() == [5, 5]
    content = load_training(path) | {"average": {"n_averaged": "two"}}
    torch.save(content, path)
    with pytest.raises(UserError, match="its part average is damaged"):
        load_network(path)


def test_checkpoints_are_written_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    write = checkpoint._Writer.write

    def counted(self: checkpoint._Writer, content: bytes) -> int:
        pieces.append(len(content))
        return write(self, content)

    monkeypatch.setattr(checkpoint._Writer, "write", counted)
    layers = nn.Sequential(*(nn.Linear(64, 64) for _ in range(8)))
    path = tmp_path / "last.pt"
    save_training(path, layers, CARD, {}, previous=tmp_path / "previous.pt")
    assert sum(pieces) == path.stat().st_size
    assert max(pieces) < path.stat().st_size / 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        save_training(Path("/dev/full"), nn.Linear(2, 2), CARD, {}, previous=tmp_path / "none.pt")


def test_a_file_that_takes_a_part_alone_is_named(tmp_path: Path) -> None:
    path, (soft, hard) = tmp_path / "last.pt", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(OSError, match=rf"File too large: '{path}'"):
            save_training(path, nn.Linear(500, 500), CARD, {}, previous=tmp_path / "none.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_refused(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"finite; 1 tensor holds .* segmentation_head.0.bias"):
        load_network(saved / "nan.safetensors")


@pytest.mark.parametrize("name", ["best.safetensors", "last.pt"])
def test_damaged_files_get_one_line(saved: Path, tmp_path: Path, name: str) -> None:
    content = (saved / name).read_bytes()
    for damage, kept in {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "text": b"hi" * 99,
    }.items():
        path = tmp_path / f"{damage}-{name}"
        path.write_bytes(kept)
        with pytest.raises(UserError, match=f"{path} is damaged") as caught:
            load_network(path)
        assert "\n" not in str(caught.value)


def test_somebody_elses_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="must be a checkpoint of tvseg; its part card is missing"):
        load_training(tmp_path / "other.pt")


def test_a_missing_tensor_is_an_error(saved: Path, tmp_path: Path) -> None:
    content = load_training(saved / "last.pt")
    del content["network"]["decoder.low_level.0.weight"]
    torch.save(content, tmp_path / "partial.pt")
    with pytest.raises(ValueError, match=r"decoder.low_level.0.weight"):
        load_network(tmp_path / "partial.pt")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("decoder.low_level.0.weight", torch.complex64),
        ("decoder.low_level.0.weight", torch.int32),
        ("decoder.low_level.1.num_batches_tracked", torch.float32),
    ],
)
def test_weights_of_another_type_are_refused(
    saved: Path, tmp_path: Path, name: str, dtype: torch.dtype
) -> None:
    content = load_training(saved / "last.pt")
    content["network"][name] = content["network"][name].to(dtype)
    torch.save(content, tmp_path / "typed.pt")
    with pytest.raises(UserError, match=f"weights {name} must be torch.*, got {dtype}"):
        load_network(tmp_path / "typed.pt")
