"""A report as one HTML page that carries its pictures with it and asks for nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from tvseg.pages import data_uri, environment


@dataclass(frozen=True)
class Sheet:
    """A table to read and its numbers.

    Attributes:
        name: Stem of its files.
        caption: What it shows; may be several sentences.
        text: The cells as they are shown.
        numbers: What the CSV file holds.
        heads: How many leading columns name the row.
        bold: Row and column of cells of ``text`` that stand out.
        feet: Rows that sum up those above them.
    """

    name: str
    caption: str
    text: pd.DataFrame
    numbers: pd.DataFrame
    heads: int
    bold: frozenset[tuple[int, str]] = frozenset()
    feet: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A figure, what stands below it, and what it shows for those who cannot see it."""

    name: str
    caption: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Section:
    """A heading, a few sentences, then tables, then pictures."""

    title: str
    words: Sequence[str] = ()
    tables: Sequence[Sheet] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Chapter:
    """What one group of comparable runs gives.

    Attributes:
        title: What sets the group apart from the others.
        facts: What was compared: name -> words.
        warnings: What a reader must know before believing a number.
        sections: In order.
    """

    title: str
    facts: dict[str, str]
    warnings: Sequence[str]
    sections: Sequence[Section] = field(default=())


def render(title: str, chapters: Sequence[Chapter], pictures: dict[str, bytes]) -> str:
    """Write the page.

    Args:
        title: Of the page.
        chapters: At least one.
        pictures: PNG of each picture, by its name.

    Returns:
        HTML that refers to nothing outside itself.
    """
    templates = environment("tvseg.evaluation.report")
    templates.filters["slug"] = _slug
    sources = {name: data_uri(png, "image/png") for name, png in pictures.items()}
    template = templates.get_template("report.html.jinja")
    return template.render(title=title, chapters=chapters, sources=sources)


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
