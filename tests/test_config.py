from pathlib import Path

import pytest

from tvseg.config import ConfigError, Settings, dump_settings, load_settings

CONFIGS = Path(__file__).parents[1] / "configs"


def test_base_yaml_states_every_default() -> None:
    assert load_settings(CONFIGS / "base.yaml") == Settings()
    text = (CONFIGS / "base.yaml").read_text()
    for key in (*Settings.model_fields, *type(Settings().train).model_fields):
        assert f"{key}:" in text


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_loads(path: Path) -> None:
    settings = load_settings(path)
    assert path.stem in ("base", "smoke") or settings.aspp == path.stem


def test_dump_reads_back(tmp_path: Path) -> None:
    encoding = "{1: [cup, disc], 2: [disc], 0: []}"
    other = f"{{name: y, folder: fy, encoding: {encoding}}}"
    centres = f"centres={{X: {{name: x, folder: fx}}, Y: {other}}}"
    settings = load_settings(None, ["train.epochs=3", "aspp=dense", centres])
    path = tmp_path / "config.yaml"
    path.write_text(dump_settings(settings))
    assert load_settings(path) == settings
    assert settings.centres["Y"].encoding == {1: ("cup", "disc"), 2: ("disc",), 0: ()}


def test_one_key_of_one_centre_can_be_set() -> None:
    centres = load_settings(None, ["centres.A.folder=mine"]).centres
    assert centres["A"].folder == "mine"
    assert centres["A"].name == "Drishti-GS"
    assert list(centres) == ["A", "B", "C", "D"]


def test_overrides_win_over_the_file() -> None:
    assert load_settings(CONFIGS / "dense.yaml", ["aspp=depthwise"]).aspp == "depthwise"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epoch=3", ["train.epoch", "train.epochs"]),
        ("asp=dense", ["'asp'", "'aspp'"]),
        ("aspp=wide", ["aspp", "'dense', 'depthwise' or 'tvconv'", "wide"]),
        ("train.epochs=0", ["train.epochs", "0"]),
        ("image_size=100", ["image_size", "16", "100"]),
        ("train.micro_batches=3", ["micro_batches must divide images_per_centre (16)", "3"]),
        ("seed", ["key=value", "'seed'"]),
        ("centres={A: {name: a, folder: b}}", ["two centres"]),
        ("structures=[cup]", ["encoding", "cup", "disc"]),
        ("train.learning_rate=inf", ["train.learning_rate", "inf"]),
        ("encoding={300: [cup, disc], 1: [disc]}", ["0 to 255", "300"]),
    ],
)
def test_wrong_settings_get_one_line(override: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, [override])
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().seed = 1  # type: ignore[misc]
