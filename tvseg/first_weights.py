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


def resolve_auto(tree: Any) -> Any:
    """Return a tree of settings that begins with the starter where it fits, and keeps phantoms."""
    if not isinstance(tree, dict):
        return tree
    init, phantoms = tree.get("init", "auto"), tree.get("phantoms", "auto")
    if init == "auto":
        fits = all(key not in tree or tree[key] in values for key, values in _OF_STARTER.items())
        init = "starter" if fits else None
    if phantoms == "auto":
        phantoms = WITH_STARTER if init == "starter" else 0.0
    return tree | {"init": init, "phantoms": phantoms}


def average_of(init: str | None, aspp: str, aspp_dilation: str) -> str:
    """Return what ``train.average: auto`` is: ``wise`` with a whole starter, else ``none``.

    The starter is whole where the network computes at first what it does.
    """
    whole = aspp in ("tvconv", "depthwise") and aspp_dilation == "none"
    return "wise" if init == "starter" and whole else "none"


def as_stored(tree: Any) -> Any:
    """Return the settings of a run with the keys that earlier versions lacked, as they were."""
    if not isinstance(tree, dict):
        return tree
    tree = {"init": None, "phantoms": 0, "train": {}} | tree
    if isinstance(tree["train"], dict):
        tree["train"] = {"average": "none"} | tree["train"]
    return tree
