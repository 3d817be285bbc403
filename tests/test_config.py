import json
from pathlib import Path

import pytest
import yaml

from tvseg.config import ConfigError, dump_settings, load_settings, read_settings
from tvseg.errors import UserError
from tvseg.runs.cards import SegmentationCard, read_card
from tvseg.settings import SegmentationSettings

CONFIGS = Path(__file__).parents[1] / "configs"


def test_base_yaml_states_every_default() -> None:
    assert load_settings(CONFIGS / "base.yaml") == SegmentationSettings()
    text = (CONFIGS / "base.yaml").read_text()
    for key in (
        *SegmentationSettings.model_fields,
        *type(SegmentationSettings().train).model_fields,
        *type(SegmentationSettings().tvconv).model_fields,
    ):
        assert f"{key}:" in text


RUNS = [
    path for path in CONFIGS.glob("*.yaml") if "variants:" not in path.read_text()
]  # not sweeps


@pytest.mark.parametrize("path", sorted(RUNS), ids=lambda path: path.stem)
def test_every_config_loads(path: Path) -> None:
    settings = load_settings(path)
    assert path.stem in ("base", "paper", "smoke") or settings.aspp == path.stem


@pytest.mark.parametrize(
    ("keys", "init", "phantoms"),
    [
        ([], "starter", 0.25),
        (["phantoms=auto", "encoder_weights=imagenet", "structures=[cup, disc]"], "starter", 0.25),
        (["aspp=dense", "image_size=512", "phantoms=0"], "starter", 0),
        (["encoder_weights=none"], None, 0),
        (["encoder=resnet18", "phantoms=0.5"], None, 0.5),
        (["structures=[disc, cup]"], None, 0),
        (["init=null"], None, 0),
        (["init=starter", "encoder_weights=none"], "starter", 0.25),
        (["init=mine.safetensors"], "mine.safetensors", 0),
    ],
)
def test_trainings_begin_with_the_starter_where_it_fits(
    keys: list[str], init: str | None, phantoms: float
) -> None:
    settings = load_settings(None, keys)
    assert (settings.init, settings.phantoms) == (init, phantoms)


def test_means_with_first_weights_need_those_of_a_trained_network() -> None:
    with pytest.raises(UserError, match=r"average=wise is the mean .*: set init$"):
        load_settings(None, ["train.average=wise", "init=null"])


@pytest.mark.parametrize("text", ["init: starter\ntrain: {epochs: 3}\n", "init: starter\n"])
def test_settings_of_earlier_versions_average_as_they_did(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert load_settings(file).train.average == "wise"
    assert read_settings(file, SegmentationSettings).train.average == "none"
    card = json.dumps(
        {"settings": yaml.safe_load(text), "task": "segmentation", "holdout": "A", "epoch": 1,
         "fingerprint": "f", "chosen": "last", "normalisation": {"mean": 0.5, "std": 0.5}}
    )  # fmt: skip
    assert read_card(SegmentationCard, card, file).settings.train.average == "none"


@pytest.mark.parametrize(
    ("keys", "average"),
    [
        ([], "wise"),
        (["aspp=depthwise"], "wise"),
        (["aspp=dense"], "none"),
        (["aspp_dilation=atrous"], "none"),
        (["init=null"], "none"),
        (["init=mine.safetensors"], "none"),
        (["init=mine.safetensors", "train.average=wise"], "wise"),
    ],
)
def test_weights_are_averaged_with_a_whole_starter(keys: list[str], average: str) -> None:
    assert load_settings(None, keys).train.average == average


def test_the_paper_begins_with_the_encoder_alone() -> None:
    settings = load_settings(CONFIGS / "paper.yaml")
    assert (settings.init, settings.phantoms, settings.train.average) == (None, 0, "none")


def test_runs_of_versions_without_the_key_began_without_it(tmp_path: Path) -> None:
    text = dump_settings(load_settings(None, ["init=null"]))
    old = text.replace("\ninit: null", "").replace("\nphantoms: 0.0", "")
    assert len(old) == len(text) - len("\ninit: null\nphantoms: 0.0")
    (tmp_path / "config.yaml").write_text(old)
    settings = read_settings(tmp_path / "config.yaml", SegmentationSettings)
    assert (settings.init, settings.phantoms) == (None, 0)
    card = {"holdout": "A", "fingerprint": "0", "normalisation": {}, "epoch": 1, "chosen": "last"}
    card |= {"settings": yaml.safe_load(old)}
    assert read_card(SegmentationCard, json.dumps(card), tmp_path).settings.init is None


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
        ("train.learning_rate=.inf", ["train.learning_rate", "inf"]),
        ("seed=99999999999999999999", ["seed", "9223372036854775807", "99999999999999999999"]),
        ("image_size=16384", ["image_size", "4096", "16384"]),
        ("name=''", ["name", "pattern"]),
        ("data=''", ["data", "at least 1 character"]),
        ("train.=3", ["key=value", "'train.=3'"]),
        ("=3", ["key=value"]),
        ("encoding=[" + "[" * 3000, ["encoding", "50 levels"]),
        ("train=3", ["train", "3"]),
        ("mixstyle=yes", ["mixstyle", "must be a number", "got True"]),
        ("seed=true", ["seed", "must be a number", "got True"]),
        ("train.epochs=on", ["train.epochs", "must be a number", "got True"]),
        (
            "encoding={true: [cup, disc], 0: [disc], 2: []}",
            ["encoding", "must be numbers", "got {True"],
        ),
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
        SegmentationSettings().seed = 1  # type: ignore[misc]


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
        assert settings.centres == SegmentationSettings().centres


def test_the_clinic_is_a_fifth_centre() -> None:
    centres = load_settings(CONFIGS / "centres" / "clinic.yaml").centres
    assert {k: v for k, v in centres.items() if k != "E"} == SegmentationSettings().centres
    assert centres["E"].encoding == {0: (), 1: ("disc",), 2: ("cup", "disc")}


def test_what_looks_like_a_variable_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    assert load_settings(None, ["data=${oc.env:SECRET}"]).data == "${oc.env:SECRET}"
    assert load_settings(None, ["data=$SECRET"]).data == "$SECRET"


def test_numbers_may_be_written_with_an_exponent() -> None:
    assert load_settings(None, ["train.learning_rate=1e-4"]).train.learning_rate == 1e-4


@pytest.mark.parametrize(("old", "new"), [("honest", "sources"), ("paper", "target")])
def test_the_former_key_protocol_is_read_with_a_notice(
    old: str, new: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_settings(None, [f"protocol={old}"]).selection == new
    assert "protocol is now selection" in caplog.text
    caplog.clear()
    path = tmp_path / "config.yaml"
    path.write_text(f"protocol: {old}")
    assert read_settings(path, SegmentationSettings).selection == new  # of a run: no notice
    assert not caplog.text
    with pytest.raises(ConfigError, match="must not both be given"):
        load_settings(None, [f"protocol={old}", "selection=sources"])


def test_sweeps_are_not_offered_as_configs() -> None:
    with pytest.raises(ConfigError, match=r"of those shipped: base, .*smoke") as caught:
        load_settings("smok")
    offered = str(caught.value).rpartition(": ")[2].split(", ")
    assert {"smoke", "tvconv", "centres/clinic", "faces/smoke"} <= set(offered)
    assert not {"cross", "table2-cpu", "default-cpu", "faces/table1", "faces/studies/start"} & {
        *offered
    }


def test_shipped_configs_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(["depthwise", "centres/clinic"])
    assert (settings.aspp, len(settings.centres)) == ("depthwise", 5)
    Path("dense").mkdir()  # a folder of the name is not in the way
    assert load_settings("dense").aspp == "dense"
    with pytest.raises(ConfigError, match=r"'nowhere.yaml' must be .* base, centres/benchmark"):
        load_settings("nowhere.yaml")


def test_a_device_is_no_config() -> None:
    with pytest.raises(ConfigError, match="'/dev/zero' must be a YAML file"):
        load_settings("/dev/zero")
