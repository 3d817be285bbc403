"""What a report is made of: chapters of sections with tables and illustrations."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from tvseg.evaluation.tables.table import Table


@dataclass(frozen=True)
class Illustration:
    """A figure, its caption, and a description for those who cannot see it."""

    name: str
    caption: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Section:
    """A heading, a few sentences, then tables, then illustrations."""

    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    illustrations: Sequence[Illustration] = ()


@dataclass(frozen=True)
class Chapter:
    """The results of one group of comparable runs.

    Attributes:
        title: The settings in which the group differs from the others.
        facts: What was compared: name -> words.
        warnings: What a reader must know before believing a number.
        sections: In order.
    """

    title: str
    facts: dict[str, str]
    warnings: Sequence[str]
    sections: Sequence[Section] = field(default=())
