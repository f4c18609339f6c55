"""Splits by patient: the same patient always lands in the same split, whatever else is in the set."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from .record import DatasetError, Record, Split

VALIDATION_FRACTION = 0.1
TEST_FRACTION = 0.1


def hash_fraction(patient: str, *, seed: int = 0) -> float:
    """A number in [0, 1) that depends on the patient and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def split_by_hash(
    patient: str, *, seed: int = 0, validation: float = VALIDATION_FRACTION, test: float = TEST_FRACTION
) -> Split:
    """The split of a patient in a set that has none of its own.

    Args:
        patient: the set's own name of the patient.
        seed: another seed gives another split.
        validation: fraction of patients, in expectation.
        test: likewise; 0 where the set has its own test patients.
    """
    fraction = hash_fraction(patient, seed=seed)
    if fraction < test:
        return "test"
    return "val" if fraction < test + validation else "train"


def check_disjoint(records: Iterable[Record]) -> None:
    """Raise DatasetError if any patient is in more than one split."""
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        splits[record.patient].add(record.split)
    mixed = sorted(patient for patient, found in splits.items() if len(found) > 1)
    if mixed:
        more = f" and {len(mixed) - 5} more" if len(mixed) > 5 else ""
        raise DatasetError(f"patients in more than one split: {', '.join(mixed[:5])}{more}")
