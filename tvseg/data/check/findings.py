"""Kinds of findings: problems, which keep a data set from being trained on, and warnings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem or warning: its kind, the case, file or centre, and a description."""

    kind: str
    where: str
    what: str


@dataclass(frozen=True)
class Kind:
    """The title of a list of findings, and whether they are problems.

    A problem is refused by training, or makes a score say something else than it seems to.
    """

    title: str
    is_problem: bool


KINDS = {
    "centre": Kind("Centres without photographs", True),
    "unpaired": Kind("Files without a partner of the same name", True),
    "twins": Kind("Files of one name", True),
    "unreadable": Kind("Files that cannot be read", True),
    "size": Kind("Masks of another size than their photograph", True),
    "values": Kind("Masks with values outside the encoding", True),
    "small": Kind("Photographs that are too small", True),
    "outside": Kind("Structures outside the one that holds them", True),
    "inverted": Kind("Masks that are inverted", True),
    "unmarked": Kind("Structures that no mask of a centre has", True),
    "copy": Kind("One photograph in two centres, or on both sides of a split", True),
    "patient": Kind("Patients on both sides of a split", True),
    "repeat": Kind("One photograph twice in a split", False),
    "alike": Kind("Photographs that are probably of one eye taken twice", False),
    "empty": Kind("Masks that lack a structure", False),
    "pieces": Kind("Structures in several pieces", False),
    "blank": Kind("Photographs of a single brightness", False),
    "nameless": Kind("Names that do not tell the patient", False),
    "manifest": Kind("Rows of the manifest that fit no case", False),
}
