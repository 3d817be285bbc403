"""What every exported folder says of its network: use, data, limits."""

from pathlib import Path

from tvseg.runs.cards import SegmentationCard
from tvseg.settings import held_out

INTENDED_USE = (
    "Research on outlines and measurements of structures in colour fundus photographs, such as the "
    "optic disc and cup. It is no medical device: do not diagnose or treat by it."
)

LIMITS = (
    "Scores hold for the centres they were measured on; cameras, populations and pathologies "
    "that training has not shown can do worse without a sign. Check outlines before use. Images "
    "other than squares are padded; structures thinner than a few network pixels are lost."
)

LICENCE_WORDS = (
    "The weights derive from photographs whose terms are those of their owners; many public sets "
    "allow research only. Ask their owners before you pass the weights on."
)


def data_words(card: SegmentationCard) -> str:
    """Return what a network was trained on, and what it has not seen."""
    settings = card.settings
    targets = held_out(card.holdout)
    names = [c.name for letter, c in settings.centres.items() if letter not in targets]
    unseen_names = [settings.centres[letter].name for letter in targets]
    if settings.phantoms == 1:
        return f"Drawn photographs alone (phantoms=1). Fingerprint {card.fingerprint}."
    drawn = f", {settings.phantoms:.0%} drawn photographs" if settings.phantoms else ""
    unseen = f" Held out: {', '.join(unseen_names)}." if targets else " No centre was held out."
    return (
        f"Centres: {', '.join(names)}{drawn}.{unseen} Fingerprint of the data {card.fingerprint}."
    )


def public_card(card: SegmentationCard) -> SegmentationCard:
    """Return a card without the paths of the machine that trained the network."""
    weights = Path(card.settings.encoder_weights).name
    settings = card.settings.model_copy(
        update={"data": None, "init": None, "encoder_weights": weights}
    )
    return card.model_copy(update={"settings": settings})
