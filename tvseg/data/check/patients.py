"""Whose eye a case shows: from the manifest of a data root, or from the names of its files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tvseg.csv_files import read_csv
from tvseg.data.cases import Case
from tvseg.data.centres import Centre
from tvseg.data.check.findings import Finding
from tvseg.errors import UserError, one_line

MANIFEST = "manifest.csv"

CaseKey = tuple[str, str, str]
"""Centre letter, split, name."""


@dataclass
class Patients:
    """Patients by case id, and what is wrong with the sources of this knowledge."""

    of_case: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def find_patients(root: Path, centres: Mapping[str, Centre], cases: Sequence[Case]) -> Patients:
    """The patient of each case, as far as anything tells it.

    A manifest, in the root or in a centre's folder, wins over a centre's ``patient_pattern``.

    Args:
        root: Data root.
        centres: By letter.
        cases: All their cases.

    Returns:
        Patients, unique within a centre alone; a case of which nobody knows is not in them.
    """
    patients = Patients()
    listed = _read_manifests(root, centres, patients.findings)
    for case in cases:
        patient = listed.pop((case.centre.letter, case.split, case.name), "")
        pattern = case.centre.patient_pattern
        if not patient and pattern is not None:
            match = re.search(pattern, case.name)
            patient = (match[1] if match else "") or ""
            if not patient:
                words = f"the name does not match {pattern}"
                patients.findings.append(Finding("nameless", case.id, words))
        if patient:
            patients.of_case[case.id] = patient
    patients.findings += [
        Finding("manifest", "/".join(key), f"in {MANIFEST}, but there is no such case")
        for key in listed
    ]
    return patients


def split_patients(cases: Sequence[Case], patients: Patients) -> list[Finding]:
    """Return a finding for each patient on both sides of a centre's split."""
    sides: dict[tuple[str, str], dict[str, list[str]]] = {}
    for case in cases:
        if patient := patients.of_case.get(case.id):
            of_patient = sides.setdefault((case.centre.letter, patient), {})
            of_patient.setdefault(case.split, []).append(case.name)
    return [
        Finding(
            "patient",
            f"{letter}/{patient}",
            " and ".join(f"{split} ({', '.join(names)})" for split, names in by_split.items()),
        )
        for (letter, patient), by_split in sides.items()
        if len(by_split) > 1
    ]


def _read_manifests(
    root: Path, centres: Mapping[str, Centre], findings: list[Finding]
) -> dict[CaseKey, str]:
    """Return patients by centre, split and name, empty where none is given.

    In the root's manifest the column ``centre`` holds letters, folders or names; in the manifest of
    a centre's folder, which may have been renamed, it is ignored.
    """
    letters = {
        word: centre.letter
        for centre in centres.values()
        for word in (centre.name, centre.folder, centre.letter)
    }
    listed: dict[CaseKey, str] = {}
    for row in _read(root / MANIFEST, ("centre", "split", "name", "patient"), findings):
        if letter := letters.get(row["centre"]):
            listed[letter, row["split"], row["name"]] = row["patient"]
    for centre in centres.values():
        path = root / centre.folder / MANIFEST
        for row in _read(path, ("split", "name", "patient"), findings):
            listed[centre.letter, row["split"], row["name"]] = row["patient"]
    return listed


def _read(path: Path, columns: Sequence[str], findings: list[Finding]) -> list[dict[str, str]]:
    """The rows of a manifest; none where there is no file, or one that is not a manifest."""
    if not path.is_file():
        return []
    try:
        table = read_csv(path)
    except (UserError, OSError) as error:
        findings.append(Finding("manifest", str(path), f"cannot be read: {one_line(error)}"))
        return []
    if lacking := [name for name in columns if name not in table.columns]:
        words = f"must have the columns {', '.join(columns)}; lacks {', '.join(lacking)}"
        findings.append(Finding("manifest", str(path), words))
        return []
    return [{name: row.get(name, "") for name in columns} for _, row in table.rows]
