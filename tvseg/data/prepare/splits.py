"""Splits into train and test: the data set's own, or by patient."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tvseg.data.prepare.raw_case import RawCase, RawProblem


def split_cases(
    cases: Sequence[RawCase], *, by: str | None, test_share: float, seed: int
) -> tuple[list[RawCase], list[RawProblem]]:
    """Give every case a split, centre by centre.

    Args:
        cases: As found.
        by: ``owner`` (the data set's own), ``patients``, or ``None``: the first where it exists.
        test_share: Share of a centre's patients who test, at least one of them and not all.
        seed: Decides which.

    Returns:
        Cases with a split, and a problem for each that the data set gives none although others have
        one, or whose patient it has on both sides.
    """
    ready: list[RawCase] = []
    problems: list[RawProblem] = []
    for centre in dict.fromkeys(case.centre for case in cases):
        own = [case for case in cases if case.centre == centre]
        if by == "patients" or (by is None and not any(case.split for case in own)):
            ready += _by_patients(own, test_share=test_share, seed=seed)
            continue
        reasons = _owner_problems(own)
        ready += [case for case, reason in zip(own, reasons, strict=True) if not reason]
        problems += [
            RawProblem(centre, case.photograph.name, reason, case.name)
            for case, reason in zip(own, reasons, strict=True)
            if reason
        ]
    return ready, problems


def _by_patients(cases: Sequence[RawCase], *, test_share: float, seed: int) -> list[RawCase]:
    """Patients in the order of their digests; one more patient hardly moves the others."""
    order = sorted(
        {_patient_of(case) for case in cases},
        key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).digest(),
    )
    count = min(max(1, round(test_share * len(order))), len(order) - 1)
    testing = set(order[:count])
    return [
        replace(case, split="test" if _patient_of(case) in testing else "train") for case in cases
    ]


def _patient_of(case: RawCase) -> tuple[str, str]:
    """A case without a patient is one of its own."""
    return case.patient, "" if case.patient else case.name


def _owner_problems(cases: Sequence[RawCase]) -> list[str]:
    """What is wrong with each case's split, empty where nothing is."""
    sides: dict[tuple[str, str], set[str]] = {}
    for case in cases:
        sides.setdefault(_patient_of(case), set()).add(case.split)
    reasons = []
    for case in cases:
        if not case.split:
            reasons.append("the data set gives it no split, train or test")
        elif case.patient and len(sides[_patient_of(case)] - {""}) > 1:
            reasons.append(f"patient {case.patient} is in train and in test")
        else:
            reasons.append("")
    return reasons
