"""What a run says of itself: log.csv always, TensorBoard if asked, a progress line on a terminal."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_log_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row; columns that appear later are added to the whole file, rows of a resumed epoch replaced."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = [found for found in csv.DictReader(file) if int(found["epoch"]) < int(row["epoch"])]
    rows.append(dict(row))
    columns = list(dict.fromkeys(name for found in rows for name in found))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def require_tensorboard() -> Any:
    """TensorBoard's writer class; raise ValueError if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("--tensorboard: TensorBoard is not installed; `pip install tensorboard`") from None
    return SummaryWriter


class TensorBoardLog:
    """The numbers of log.csv as TensorBoard scalars under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._writer = require_tensorboard()(str(folder))

    def write(self, row: Mapping[str, Any]) -> None:
        """One epoch's numbers, at step row["epoch"]."""
        for name, value in row.items():
            if name != "epoch" and isinstance(value, (int, float)):
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()


class Progress:
    """Step, speed and time left on standard error; silent where that is no terminal."""

    def __init__(self, *, steps: int, done: int, shown: bool) -> None:
        self._steps, self._done = steps, done
        self._shown = shown and sys.stderr.isatty()
        self._started, self._first = time.monotonic(), done

    def step(self, epoch: int) -> None:
        self._done += 1
        if self._shown:
            pace = (time.monotonic() - self._started) / (self._done - self._first)
            left = pace * (self._steps - self._done) / 60
            text = f"epoch {epoch}, step {self._done} of {self._steps}, {pace:.2f} s a step, {left:.0f} min left"
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
