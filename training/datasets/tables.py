"""Tables as sets publish them: CSV with any of the usual delimiters, encodings and line ends."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from .record import DatasetError


def read_table(path: Path, *, required: Sequence[str] = ()) -> list[dict[str, str]]:
    """Rows of a CSV file, with normalised column names and stripped values.

    ``breast density``, ``breast_density`` and ``Breast-Density`` are all ``breast_density``. Fields may hold line
    breaks. The delimiter is the one of ``, ; tab`` that the header has most of; UTF-8, else latin-1.

    Args:
        path: of the file.
        required: columns, by their normalised names, that must be there.

    Raises:
        DatasetError: if there is no such file, no header, or a required column is missing.
    """
    if not path.is_file():
        raise DatasetError(f"missing table: {path.name}")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [column_name(name) for name in next(rows, [])]
        missing = [name for name in required if name not in names]
        if missing:
            raise DatasetError(f"{path.name}: column {', '.join(missing)} is missing; there are {', '.join(names)}")
        return [
            {name: value.strip() for name, value in zip(names, row, strict=False) if name}
            for row in rows
            if any(value.strip() for value in row)
        ]
    except csv.Error as error:
        raise DatasetError(f"{path.name}: {error}") from None


def column_name(name: str) -> str:
    """A column's name in small letters, its words joined with ``_``."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
