"""Whose eye a case shows: from manifests, or from the names of the files."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tvseg.data.cases import Case
from tvseg.data.check.findings import Finding

MANIFEST = "manifest.csv"
COLUMNS = ("centre", "split", "name", "patient")


@dataclass
class Patients:
    """Patients by case id, and what is wrong with the sources of this knowledge."""

    of_case: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def find_patients(root: Path, cases: Sequence[Case]) -> Patients:
    """The patient of each case, as far as anything tells it.

    A row of a ``manifest.csv``, in the data root or in a centre's folder, where ``tvseg data
    prepare`` writes one, wins over the centre's ``patient_pattern``.

    Args:
        root: Data root.
        cases: All its cases.

    Returns:
        Patients, unique within a centre alone; a case of which nobody knows is not in them.
    """
    patients = Patients()
    listed: dict[tuple[str, str, str], str] = {}
    for folder in dict.fromkeys((".", *(case.centre.folder for case in cases))):
        listed |= _read_manifest(root / folder / MANIFEST, patients.findings)
    for case in cases:
        places = [(key, case.split, case.name) for key in _keys(case)]
        row = next((listed.pop(place) for place in places if place in listed), None)
        if row:
            patients.of_case[case.id] = row
        elif case.centre.patient_pattern is not None:
            match = re.search(case.centre.patient_pattern, case.name)
            if match and match[1]:
                patients.of_case[case.id] = match[1]
            else:
                pattern = case.centre.patient_pattern
                patients.findings.append(
                    Finding("nameless", case.id, f"the name does not match {pattern}")
                )
    patients.findings += [
        Finding("manifest", "/".join(place), f"in {MANIFEST}, but there is no such case")
        for place in listed
    ]
    return patients


def split_patients(cases: Sequence[Case], patients: Patients) -> list[Finding]:
    """A finding for each patient who stands on both sides of a centre's split."""
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


def _keys(case: Case) -> tuple[str, str, str]:
    return case.centre.letter, case.centre.folder, case.centre.name


def _read_manifest(path: Path, findings: list[Finding]) -> dict[tuple[str, str, str], str]:
    """(centre, split, name) -> patient, empty where none is given; no file, no rows."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                words = f"must have the columns {', '.join(COLUMNS)}; lacks {', '.join(lacking)}"
                findings.append(Finding("manifest", MANIFEST, words))
                return {}
            return {
                (row["centre"], row["split"], row["name"]): (row["patient"] or "").strip()
                for row in reader
            }
    except (OSError, ValueError, csv.Error) as error:
        findings.append(Finding("manifest", MANIFEST, f"cannot be read: {error}"))
        return {}
