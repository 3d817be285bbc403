"""What a training begins with where its settings leave that to tvseg (``auto``)."""

from typing import Any

WITH_STARTER = 0.25
"""Value of ``phantoms: auto`` where ``init`` is ``starter``; elsewhere it is 0."""

_OF_STARTER: dict[str, tuple[Any, ...]] = {
    "encoder": ("mobilenet_v2_320",),
    "encoder_weights": ("imagenet",),
    "structures": (["cup", "disc"], ("cup", "disc")),
}
"""Values with which ``init: auto`` is ``starter``; with others it is none."""

_WHOLE_STARTER = ("tvconv", "depthwise")
"""Values of ``aspp`` with which a network computes at first what the starter does."""


def resolve_auto(tree: Any) -> Any:
    """Return a tree of settings that begins with the starter where it fits, and keeps to it.

    Phantoms then stay beside the photographs, and the weights are kept halfway to the starter's.
    """
    if not isinstance(tree, dict):
        return tree
    init, phantoms = tree.get("init", "auto"), tree.get("phantoms", "auto")
    train = tree.get("train", {})
    if init == "auto":
        fits = all(key not in tree or tree[key] in values for key, values in _OF_STARTER.items())
        init = "starter" if fits else None
    if phantoms == "auto":
        phantoms = WITH_STARTER if init == "starter" else 0.0
    if isinstance(train, dict) and train.get("average", "auto") == "auto":
        whole = init == "starter" and tree.get("aspp", "tvconv") in _WHOLE_STARTER
        train = train | {"average": "wise" if whole else "none"}
    return tree | {"init": init, "phantoms": phantoms, "train": train}


def as_stored(tree: Any) -> Any:
    """Return the settings of a run with the keys that earlier versions lacked, as they were."""
    if not isinstance(tree, dict):
        return tree
    tree = {"init": None, "phantoms": 0, "train": {}} | tree
    if isinstance(tree["train"], dict):
        tree["train"] = {"average": "none"} | tree["train"]
    return tree
