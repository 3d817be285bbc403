from pathlib import Path

import cv2
import numpy as np
import pytest

from tvseg.errors import UserError
from tvseg.verification.data.check import check_faces
from tvseg.verification.data.pictures import read_faces, read_pair_set
from tvseg.verification.data.portraits import Nuisance, draw_portrait
from tvseg.verification.data.synth import write_face_root
from tvseg.verification.scoring import honest


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces") / "root"
    write_face_root(root, people=4, pictures=6, unseen=20, seed=3)
    return root


def test_seed_person_and_picture_decide_a_portrait() -> None:
    first = draw_portrait(seed=1, person=2, picture=3)
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, draw_portrait(seed=1, person=2, picture=3))
    for other in ({"seed": 2}, {"person": 3}, {"picture": 4}):
        changed = {"seed": 1, "person": 2, "picture": 3} | other
        assert not np.array_equal(first, draw_portrait(**changed))


def test_translation_moves_the_face() -> None:
    still, moved = (Nuisance(translation_px=shift) for shift in (0.0, 12.0))
    pictures = {
        name: [draw_portrait(seed=0, person=0, picture=k, nuisance=n).astype(float)
               for k in range(12)]
        for name, n in (("still", still), ("moved", moved))
    }  # fmt: skip
    spread = {name: np.std(stack, axis=0).mean() for name, stack in pictures.items()}
    assert spread["moved"] > 1.05 * spread["still"]


def test_a_root_has_no_problems(root: Path) -> None:
    found = check_faces(root)
    assert found.problems == []
    assert found.counts == {"pictures": 24, "people": 4, "fewest": 6, "most": 6}
    assert set(found.sets) == {"pairs_val", "pairs_test"}
    assert all(same == different for same, different, _ in found.sets.values())
    assert all(folds == 10 for _, _, folds in found.sets.values())


def test_pixels_alone_do_not_tell_people(root: Path) -> None:
    pairs = read_pair_set(root / "pairs_test.csv", side_px=96)
    grey = [cv2.resize(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), (24, 24)) for p in pairs.pixels]
    features = np.stack(grey).reshape(len(grey), -1).astype(float)
    features -= features.mean(axis=1, keepdims=True)
    score = honest(features[pairs.left], features[pairs.right], pairs.same, pairs.fold)
    assert 0.5 < score.mean < 0.75


def test_training_pictures_are_read_by_person(root: Path) -> None:
    faces = read_faces(root, side_px=48)
    assert faces.pixels.shape == (24, 48, 48, 3)
    assert np.bincount(faces.identities).tolist() == [6, 6, 6, 6]
    assert faces.people[0] == "p00000"


@pytest.mark.parametrize("counts", [{"people": 1}, {"pictures": 1}, {"unseen": 19}])
def test_counts_that_are_too_small(counts: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs at least 2 people"):
        write_face_root(tmp_path / "x", **counts)
    assert list(tmp_path.iterdir()) == []
