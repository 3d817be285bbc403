"""A report as one HTML page that carries its illustrations and loads nothing."""

import re
from collections.abc import Mapping, Sequence

from tvseg.evaluation.report.chapter import Chapter
from tvseg.pages import data_uri, environment


def render(title: str, chapters: Sequence[Chapter], pictures: Mapping[str, bytes]) -> str:
    """Return the page as HTML that refers to nothing outside itself.

    Args:
        title: Title of the page.
        chapters: At least one.
        pictures: PNG of each illustration, by its name.
    """
    templates = environment("tvseg.evaluation.report")
    templates.filters["slug"] = _slug
    sources = {name: data_uri(png, "image/png") for name, png in pictures.items()}
    template = templates.get_template("report.html.jinja")
    return template.render(title=title, chapters=chapters, sources=sources)


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
