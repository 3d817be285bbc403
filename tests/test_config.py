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


def _write(folder: Path, **texts: str) -> list[Path]:
    paths = [folder / f"{name}.yaml" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    return paths


def test_files_are_merged_in_order(tmp_path: Path) -> None:
    variant, centres = _write(
        tmp_path,
        variant="aspp: dense\ntrain: {epochs: 3, workers: 1}\n",
        centres="train: {epochs: 5}\ncentres: {X: {name: x, folder: x}, Y: {name: y, folder: y}}",
    )
    settings = load_settings([variant, centres], ["train.workers=2"])
    assert (settings.aspp, settings.train.epochs, settings.train.workers) == ("dense", 5, 2)
    assert list(settings.centres) == ["X", "Y"]
    assert load_settings([centres, variant]).train.epochs == 3


def test_centres_of_two_files_stand_together(tmp_path: Path) -> None:
    first, second = _write(
        tmp_path,
        first="centres: {X: {name: x, folder: x}, Y: {name: y, folder: y}}",
        second="centres: {Z: {name: z, folder: z}, Y: {folder: other}}",
    )
    centres = load_settings([first, second]).centres
    assert {letter: c.folder for letter, c in centres.items()} == {"X": "x", "Y": "other", "Z": "z"}


def test_an_encoding_is_replaced_as_a_whole(tmp_path: Path) -> None:
    paths = _write(
        tmp_path,
        first="encoding: {7: [cup, disc], 8: [disc], 9: []}",
        second="structures: [vessel]\nencoding: {0: [], 1: [vessel]}",
    )
    assert load_settings(paths).encoding == {0: (), 1: ("vessel",)}
    override = ["encoding={1: [cup, disc], 2: [disc], 0: []}"]
    assert load_settings(paths[:1], override).encoding.keys() == {0, 1, 2}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("centres.A.folder=Domain2", ["folder of its own", "Domain2"]),
        ("structures=[cup, cup, disc]", ["structures must differ"]),
        ("encoding={0: [cup, disc], 1: [disc]}", ["encoding must have", "background"]),
        ("scattered=[lesion]", ["scattered must name structures", "lesion"]),
        ("centres.B.encoding={0: [], 1: [disc]}", ["centres.B.encoding must mark each", "cup"]),
        ("centres.B.patient_pattern='(\\d+'", ["centres.B.patient_pattern", "regular expression"]),
        ("centres.B.patient_pattern='\\d+'", ["centres.B.patient_pattern", "one group"]),
    ],
)
def test_wrong_centres_and_structures_get_one_line(override: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, [override])
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("variant", ["dense", "depthwise", "tvconv"])
@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "centres").glob("*.yaml")), ids=lambda path: path.stem
)
def test_centres_and_variants_go_together(path: Path, variant: str) -> None:
    settings = load_settings([CONFIGS / f"{variant}.yaml", path])
    assert settings.aspp == variant
    assert settings == load_settings([path, CONFIGS / f"{variant}.yaml"])
    if path.stem == "benchmark":
        assert settings.centres == Settings().centres


def test_the_clinic_is_a_fifth_centre() -> None:
    centres = load_settings(CONFIGS / "centres" / "clinic.yaml").centres
    assert {k: v for k, v in centres.items() if k != "E"} == Settings().centres
    assert centres["E"].encoding == {0: (), 1: ("disc",), 2: ("cup", "disc")}
