import numpy as np
import torch

from tvseg.localizer.drawn_fields import DrawnFields, drawn_batches


def test_a_picture_depends_on_seed_and_index() -> None:
    one, same, other = (DrawnFields(seed=s, image_size=64)[3] for s in (0, 0, 1))
    assert torch.equal(one["image"], same["image"])  # type: ignore[arg-type]
    assert not torch.equal(one["image"], other["image"])  # type: ignore[arg-type]


def test_some_pictures_have_no_disc_and_some_are_regions() -> None:
    pictures = DrawnFields(seed=0, image_size=64)
    shares = np.array([float(pictures[i]["label"].float().mean()) for i in range(40)])  # type: ignore[attr-defined]
    assert 1 <= (shares == 0).sum() <= 14
    assert 1 <= (shares > 0.1).sum() <= 20
    assert ((shares > 0) & (shares < 0.1)).sum() >= 15


def test_batches_follow_one_another() -> None:
    batches = list(drawn_batches(seed=0, image_size=64, steps=2, size=3))
    assert [batch["id"] for batch in batches] == [
        [f"drawn field {index}" for index in range(first, first + 3)] for first in (0, 3)
    ]
    assert batches[0]["image"].shape == (3, 3, 64, 64)
    assert batches[0]["label"].shape == (3, 1, 64, 64)
