from pathlib import Path

import pytest

from tvseg.config import CONFIGS, load_settings
from tvseg.verification.data.pictures import read_pair_set
from tvseg.verification.data.synth import write_face_root
from tvseg.verification.evaluation.evaluate import evaluate_faces
from tvseg.verification.settings import FaceSettings
from tvseg.verification.training.train import train_faces


@pytest.mark.slow
def test_a_network_learns_to_tell_people_whom_it_has_not_seen(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_face_root(root, people=150, pictures=8, unseen=60)
    small = load_settings(CONFIGS / "faces" / "studies" / "small.yaml", [], FaceSettings)
    run = train_faces(small, root=root, runs=tmp_path / "runs")
    pairs = read_pair_set(root / "pairs_test.csv", side_px=small.image_size)
    assert evaluate_faces([run.path], [pairs])["accuracy"].item() > 75  # pixels alone: below that
