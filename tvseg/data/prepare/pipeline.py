"""Raw material in, centres out: find, split, cut, and rename when all is well."""

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from tqdm import tqdm

from tvseg.config import ConfigError
from tvseg.csv_files import write_csv
from tvseg.data.cases import SPLITS
from tvseg.data.centres import MaskEncoding
from tvseg.data.prepare.adapters import Adapter, adapter_of
from tvseg.data.prepare.cut import ManifestRow, cut_case
from tvseg.data.prepare.framing import Framing
from tvseg.data.prepare.kinds.refuge import ENCODING
from tvseg.data.prepare.raw_case import Choices, RawCase, RawProblem, is_plain
from tvseg.data.prepare.raw_files import RawFile, gather
from tvseg.data.prepare.splits import split_cases
from tvseg.errors import UserError, one_line
from tvseg.files import temporary_folder

THREADS = 2


@dataclass(frozen=True)
class Recipe:
    """Everything that may be chosen about a preparation.

    Args:
        truth: Whose drawing counts, out of the adapter's; ``None`` for its default.
        centre: Folder to write to instead of the adapter's, for material of one centre.
        only: Pattern of the cases' names, such as ``r3_*``.
        framing: What to cut; ``None`` for the adapter's.
        split: ``owner`` (the data set's own), ``patients``, or ``None``: the first where it exists.
        test_share: Share of patients who test, where split by patients.
        seed: Of the split by patients and of jitter.
        skip_bad: Write the good cases although others have problems.
        encoding: Of written label images.
        encodings: The same for single centres, by folder.
        source_encoding: Of the label images of one's own; ``None``: that of the written ones.
    """

    truth: str | None = None
    centre: str | None = None
    only: str = "*"
    framing: Framing | None = None
    split: str | None = None
    test_share: float = 0.2
    seed: int = 0
    skip_bad: bool = False
    encoding: MaskEncoding = ENCODING
    encodings: Mapping[str, MaskEncoding] = field(default_factory=dict)
    source_encoding: MaskEncoding | None = None

    def encoding_of(self, centre: str) -> MaskEncoding:
        """Of a centre's written label images."""
        return self.encodings.get(centre, self.encoding)

    def source_encoding_of(self, centre: str) -> MaskEncoding:
        """Of one's own label images of a centre, as it is named in the raw material."""
        return self.source_encoding or self.encoding_of(self.centre or centre)


@dataclass(frozen=True)
class Outcome:
    """What was written, or, when ``rows`` is empty, what kept everything from being written."""

    rows: list[ManifestRow]
    problems: list[RawProblem]


def prepare(kind: str, sources: Sequence[Path], root: Path, recipe: Recipe) -> Outcome:
    """Turn raw material into centres of a data root, each with its ``manifest.csv``.

    Everything is written beside the centres first and renamed at the end, so that a centre is
    complete or absent.

    Args:
        kind: Name of an adapter.
        sources: Folders, zip archives, or the CSV file of one's own material.
        root: Data root; made if need be, its other centres are left alone.
        recipe: The choices.

    Returns:
        Rows and problems. With problems nothing is written, unless ``recipe.skip_bad``: then the
        good cases are, and each centre has a ``problems.csv``. A centre without a case in either
        split is never written.

    Raises:
        ConfigError: A choice that does not exist.
        ValueError: A damaged archive, or no case at all.
        FileExistsError: The centre is there already.
    """
    adapter = adapter_of(kind)
    truth = adapter.choose_truth(recipe.truth)
    if recipe.source_encoding is not None and not adapter.encoding_is_free:
        raise ConfigError(f"masks of {kind} have an encoding of their own, none may be given")
    if recipe.centre is not None and not is_plain(recipe.centre):
        raise ConfigError(f"a centre must be the plain name of a folder, got {recipe.centre!r}")
    is_new = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with temporary_folder(root, "prepare") as beside:
            files = gather(sources, beside / "unpacked")
            choices = Choices(truth, recipe.encoding.structures, recipe.source_encoding_of)
            cases, problems = _select(adapter, files, choices, recipe)
            _check_targets(root, cases)
            ready = beside / "ready"
            framing = recipe.framing or Framing.parse(adapter.frame)
            rows, failed = _write_all(cases, ready, framing, recipe, files)
            problems += failed
            lacking = _lacking_splits(rows, cases)
            if not rows or lacking or (problems and not recipe.skip_bad):
                return Outcome([], problems + lacking)
            _add_tables(ready, rows, problems)
            _move(ready, root)
            return Outcome(rows, problems)
    finally:
        if is_new:
            with suppress(OSError):
                root.rmdir()  # only an empty folder can be removed


def _select(
    adapter: Adapter, files: Sequence[RawFile], choices: Choices, recipe: Recipe
) -> tuple[list[RawCase], list[RawProblem]]:
    """The wanted cases, split and of different names, and what is wrong with others."""
    found = adapter.find(files, choices)
    cases = [case for case in found.cases if fnmatchcase(case.name, recipe.only)]
    problems = [one for one in found.problems if not one.name or fnmatchcase(one.name, recipe.only)]
    if not cases and not problems:
        raise UserError(
            f"no case among {len(files)} files: there must be {adapter.layout}"
            + (f", with names like {recipe.only}" if recipe.only != "*" else "")
        )
    if recipe.centre is not None:
        several = {case.centre for case in cases}
        if len(several) > 1:
            raise UserError(
                f"the centre can be renamed where there is one, here are {', '.join(several)}"
            )
        cases = [replace(case, centre=recipe.centre) for case in cases]
        problems = [replace(problem, centre=recipe.centre) for problem in problems]
    cases, unsplit = split_cases(
        cases, by=recipe.split, test_share=recipe.test_share, seed=recipe.seed
    )
    named: dict[tuple[str, str, str], RawCase] = {}
    for case in sorted(cases, key=lambda one: (one.centre, SPLITS.index(one.split), one.name)):
        first = named.setdefault((case.centre, case.split, case.name), case)
        if first is not case:
            reason = f"the same name as {first.photograph.name}; give each case a name of its own"
            problems.append(RawProblem(case.centre, case.photograph.name, reason, case.name))
    return list(named.values()), problems + unsplit


def _check_targets(root: Path, cases: Sequence[RawCase]) -> None:
    for centre in dict.fromkeys(case.centre for case in cases):
        if (root / centre).exists():
            raise FileExistsError(
                17, "is there already; give another --centre or delete it", str(root / centre)
            )


def _write_all(
    cases: Sequence[RawCase],
    folder: Path,
    framing: Framing,
    recipe: Recipe,
    files: Sequence[RawFile],
) -> tuple[list[ManifestRow], list[RawProblem]]:
    """Write each case that is right; of photographs that are the same pixel by pixel, the first.

    What cannot be read is a problem of the case, what cannot be written ends everything.
    """
    names = {str(file.path): file.name for file in files}

    def attempt(case: RawCase) -> tuple[ManifestRow, str, tuple[Path, Path]] | RawProblem:
        encoding = recipe.encoding_of(case.centre)
        try:
            cut = cut_case(case, encoding=encoding, framing=framing, seed=recipe.seed)
        except (UserError, OSError) as error:
            return _problem_of(case, error, names)
        cut.write(folder)
        return cut.row, cut.digest(), cut.paths(folder)

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(tqdm(pool.map(attempt, cases), "preparing", len(cases), leave=False))
    rows: list[ManifestRow] = []
    problems: list[RawProblem] = []
    seen: dict[str, ManifestRow] = {}
    for result in results:
        if isinstance(result, RawProblem):
            problems.append(result)
            continue
        row, digest, paths = result
        twin = seen.setdefault(digest, row)
        if twin is row:
            rows.append(row)
            continue
        reason = f"the same pixels as {twin.source}"
        problems.append(RawProblem(row.centre, row.source, reason, row.name))
        for path in paths:
            path.unlink()
    return rows, problems


def _problem_of(case: RawCase, error: Exception, names: Mapping[str, str]) -> RawProblem:
    """Name the file that an error begins with, as the user knows it, else the photograph."""
    text = one_line(error)
    path, colon, reason = text.partition(": ")
    if colon and (path in names or Path(path).is_file()):
        return RawProblem(case.centre, names.get(path, path), reason, case.name)
    return RawProblem(case.centre, case.photograph.name, text, case.name)


def _lacking_splits(rows: Sequence[ManifestRow], cases: Sequence[RawCase]) -> list[RawProblem]:
    filled = {(row.centre, row.split) for row in rows}
    advice = "give the data set's other folder or archive too, or split by patients"
    return [
        RawProblem(centre, "", f"no good case for the split {split}: {advice}")
        for centre in dict.fromkeys(case.centre for case in cases)
        for split in SPLITS
        if (centre, split) not in filled
    ]


def _add_tables(folder: Path, rows: Sequence[ManifestRow], problems: Sequence[RawProblem]) -> None:
    for name, lines in (("manifest.csv", rows), ("problems.csv", problems)):
        for centre in dict.fromkeys(row.centre for row in rows):
            chosen = [dataclasses.asdict(line) for line in lines if line.centre == centre]
            write_csv(folder / centre / name, chosen)


def _move(ready: Path, root: Path) -> None:
    """Rename each centre to its folder; when one cannot be, undo those before it."""
    moved: list[Path] = []
    try:
        for folder in sorted(ready.iterdir()):
            folder.rename(root / folder.name)
            moved.append(root / folder.name)
    except OSError:
        for path in moved:
            path.rename(ready / path.name)
        raise
