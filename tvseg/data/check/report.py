"""The stages of a check: list files, examine each case once, then compare cases with each other."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from tvseg.data.cases import SPLITS, Case, check_folder, list_split, partner_of
from tvseg.data.centres import Centre
from tvseg.data.check.comparison import compare
from tvseg.data.check.examine import Examination, ExaminedBatch, Sums, examine
from tvseg.data.check.findings import KINDS, Finding
from tvseg.data.check.patients import find_patients, split_patients
from tvseg.errors import UserError

BATCH = 32


@dataclass
class Report:
    """What was found below a data root.

    Attributes:
        examined: Measures of each readable case, in the order of centres, splits and names.
        sums: Added up over the readable cases, by centre letter.
        findings: In the order of ``KINDS``.
        left_alone: Folders that are no centre.
    """

    examined: list[Examination] = field(default_factory=list)
    sums: dict[str, Sums] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[Finding]:
        """What has to be mended before training."""
        return [finding for finding in self.findings if KINDS[finding.kind].is_problem]

    @property
    def warnings(self) -> list[Finding]:
        """What should be looked at by a person."""
        return [finding for finding in self.findings if not KINDS[finding.kind].is_problem]


def check_data(root: Path, centres: Mapping[str, Centre]) -> Report:
    """Read every case of every centre once, in a thread a processor, and keep its measures alone.

    Args:
        root: Data root.
        centres: The centres to expect, by letter.

    Returns:
        Measures and findings; an unreadable or wrong case is a finding, not an error.
    """
    report = Report()
    cases = _list_cases(root, centres, report.findings)
    batches = list(_batches(cases))
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(cases), desc="reading photographs", leave=False) as bar,
    ):
        steps = pool.map(examine, batches)
        for chosen, batch in zip(batches, steps, strict=True):
            _take_in(report, batch)
            bar.update(len(chosen))
    report.findings += _unmarked(report.sums, centres)
    report.findings += compare(report.examined)
    patients = find_patients(root, centres, cases)
    report.findings += patients.findings + split_patients(cases, patients)
    order = list(KINDS)
    report.findings.sort(key=lambda finding: order.index(finding.kind))
    folders = {Path(centre.folder).parts[0] for centre in centres.values()}
    folders_there = (path.name for path in sorted(root.iterdir()) if path.is_dir())
    others = [name for name in folders_there if not name.startswith(".")]
    report.left_alone = [name for name in others if name not in folders]
    return report


def _list_cases(root: Path, centres: Mapping[str, Centre], findings: list[Finding]) -> list[Case]:
    cases = []
    for centre in centres.values():
        try:
            check_folder(root, centre)
        except UserError as error:
            findings.append(Finding("centre", centre.letter, str(error)))
            continue
        for split in SPLITS:
            listing = list_split(root, centre, split)
            where = f"{centre.letter}/{split}"
            if words := listing.lack_of_photographs():
                findings.append(Finding("centre", where, words))
            findings += [
                Finding("unpaired", f"{where}/{path.stem}", f"{path} has no {partner_of(path)}")
                for path in listing.unpaired
            ]
            findings += [
                Finding("twins", f"{where}/{one.stem}", f"{one} and {other}")
                for one, other in listing.twins
            ]
            cases += listing.cases
    return cases


def _batches(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Cases of one centre each, in order, a few at a time."""
    batch: list[Case] = []
    for case in cases:
        if len(batch) == BATCH or (batch and batch[0].centre.letter != case.centre.letter):
            yield batch
            batch = []
        batch.append(case)
    if batch:
        yield batch


def _take_in(report: Report, batch: ExaminedBatch) -> None:
    report.examined += batch.examined
    report.findings += batch.findings
    report.sums.setdefault(batch.letter, Sums()).add(batch.sums)


def _unmarked(sums: Mapping[str, Sums], centres: Mapping[str, Centre]) -> list[Finding]:
    return [
        Finding(
            "unmarked", letter, f"no mask of centre {letter} ({centres[letter].name}) has {name}"
        )
        for letter, total in sums.items()
        if total.cases
        for name, mask in zip(centres[letter].encoding.structures, total.masks, strict=True)
        if not mask.any()
    ]
