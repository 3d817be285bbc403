"""A report's files: the page, its figures as PNG and PDF, its tables as CSV and Markdown."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tvseg
from tvseg.errors import UserError
from tvseg.evaluation.plot_style import to_pdf, to_png
from tvseg.evaluation.report.chapter import Chapter, Section
from tvseg.evaluation.report.page import render
from tvseg.evaluation.tables.table import to_csv, to_markdown
from tvseg.evaluation.tables.write import check_writable
from tvseg.files import write_bytes, write_json

MANIFEST = "report.json"
PAGE = "report.html"


def check_free(out: Path) -> None:
    """Raise unless a report may be written to a folder, before anything costly is done.

    Raises:
        UserError: It is no folder, holds files and no earlier report, or cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"a report needs a folder; {out} is a file, give another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise UserError(
            f"{out} must be new, empty, or hold an earlier report; it holds other files, "
            "give another --out"
        )
    check_writable(out)


def write_report(
    chapters: Sequence[Chapter], out: Path, *, title: str, runs: Sequence[str]
) -> Path:
    """Write a report; files of an earlier one in the folder give way.

    All is drawn before the first file is written, and the page comes last.

    Args:
        chapters: One a group.
        out: Folder, see :func:`check_free`.
        title: Of the page.
        runs: Folders of the runs, for the record.

    Returns:
        The page.

    Raises:
        OSError: The folder cannot be written.
    """
    check_free(out)
    chapters = _distinct(chapters)
    files: dict[str, bytes] = {}
    embedded: dict[str, bytes] = {}
    for section in (section for chapter in chapters for section in chapter.sections):
        for one in section.illustrations:
            embedded[one.name] = to_png(one.figure)
            files[f"figures/{one.name}.png"] = embedded[one.name]
            files[f"figures/{one.name}.pdf"] = to_pdf(one.figure)
        for table in section.tables:
            files[f"tables/{table.name}.csv"] = to_csv(table).encode()
            files[f"tables/{table.name}.md"] = to_markdown(table).encode()
    files[PAGE] = render(title, chapters, embedded).encode()
    stale = set(_earlier(out)) - set(files)
    # The manifest names old and new files as long as both may be in the folder.
    about = {"tvseg": tvseg.__version__, "title": title, "runs": list(runs)}
    write_json(out / MANIFEST, about | {"files": sorted(stale | set(files))})
    for name, content in files.items():
        write_bytes(out / name, content)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    write_json(out / MANIFEST, about | {"files": sorted(files)})
    return out / PAGE


def _distinct(chapters: Sequence[Chapter]) -> list[Chapter]:
    """Return the chapters, with the group's number in all names where there are several."""
    if len(chapters) == 1:
        return list(chapters)

    def named(section: Section, prefix: str) -> Section:
        tables = [replace(one, name=prefix + one.name) for one in section.tables]
        drawn = [replace(one, name=prefix + one.name) for one in section.illustrations]
        return replace(section, tables=tables, illustrations=drawn)

    return [
        replace(chapter, sections=[named(one, f"group{number}-") for one in chapter.sections])
        for number, chapter in enumerate(chapters, start=1)
    ]


def _earlier(out: Path) -> list[str]:
    """Return the names of the files of an earlier report in a folder."""
    path = out / MANIFEST
    if not path.is_file():
        return []
    try:
        names: list[str] = json.loads(path.read_text("utf-8"))["files"]
        kinds = {".html", ".png", ".pdf", ".csv", ".md"}
        strange = [
            name for name in names if Path(name).suffix not in kinds or ".." in Path(name).parts
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); remove {out} or give another --out"
        ) from error
    if strange or any(Path(name).is_absolute() for name in names):
        raise UserError(f"{path} is damaged (it names {strange}); give another --out")
    return names
