"""What a dataset holds, in lines to print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from .record import LESION_CLASSES, SPLITS, CaseLog, Dataset, Record

_EXAMPLES = 3


def summarize(dataset: Dataset) -> list[str]:
    """Lines on images, patients, splits, views, pathology, spacing and lesions."""
    records = list(dataset)
    lines = [
        f"format      {dataset.name}",
        f"images      {len(records)}",
        f"patients    {len({record.patient for record in records})}",
        f"splits      {_splits(records)}",
        f"views       {_counted(_view(record) for record in records)}",
        f"pathology   {_counted(record.pathology for record in records)}",
        f"proof       {_counted(record.pathology_source for record in records)}",
        f"spacing     {_spacing(records)}",
        f"lesions     {_lesions(records)}",
    ]
    unmarked = sum(not record.annotated for record in records)
    if unmarked:
        lines.append(f"unmarked    {unmarked} images may show a lesion that has no outline")
    if records and not any(record.split == "val" and record.outlines for record in records):
        lines.append("validation  no image with an outline: training cannot choose its best epoch by this set")
    return lines


def problems(log: CaseLog, what: str) -> Iterator[str]:
    """A line per reason, with how many cases met it and the first few."""
    for reason, count in log.by_reason().most_common():
        cases = [case for case, other in log if other == reason]
        shown = ", ".join(cases[:_EXAMPLES]) + (", ..." if len(cases) > _EXAMPLES else "")
        yield f"{what} {count}: {reason} ({shown})"


def _splits(records: Sequence[Record]) -> str:
    parts = []
    for split in SPLITS:
        chosen = [record for record in records if record.split == split]
        parts.append(f"{split} {len(chosen)} ({len({record.patient for record in chosen})} patients)")
    return ", ".join(parts)


def _lesions(records: Sequence[Record]) -> str:
    outlines = [outline for record in records for outline in record.outlines]
    parts = []
    for lesion in LESION_CLASSES:
        chosen = [outline for outline in outlines if outline.lesion == lesion]
        if chosen:
            parts.append(f"{lesion} {len(chosen)} ({_counted(outline.pathology for outline in chosen)})")
    marked = sum(bool(record.outlines) for record in records)
    return "; ".join(parts) + f"; on {marked} images" if parts else "none"


def _spacing(records: Sequence[Record]) -> str:
    stated = sorted(record.spacing_mm[0] for record in records if record.spacing_mm)
    if not stated:
        return "as the image files say"
    span = f"{stated[0]:.4g} mm" if stated[0] == stated[-1] else f"{stated[0]:.4g} to {stated[-1]:.4g} mm"
    missing = len(records) - len(stated)
    return span + (f"; {missing} images as their files say" if missing else "")


def _view(record: Record) -> str:
    return f"{record.laterality or '?'} {record.view or '?'}"


def _counted(values: Iterable[str]) -> str:
    return ", ".join(f"{value} {count}" for value, count in sorted(Counter(values).items())) or "none"
