"""What a run says of itself: log.csv always, TensorBoard if asked, a progress line on a terminal."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lcx_fast.console import ProgressLine


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
    """Step, epoch, speed and time left on the terminal; silent where there is none."""

    def __init__(self, *, steps: int, done: int, shown: bool) -> None:
        self._steps, self._done = steps, done
        self._line = ProgressLine(wanted=shown)
        self._started, self._first = time.monotonic(), done

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def step(self, epoch: int) -> None:
        self._done += 1
        pace = (time.monotonic() - self._started) / (self._done - self._first)
        left = pace * (self._steps - self._done) / 60
        self._line.show(f"epoch {epoch}, {pace:.2f} s a step, {left:.0f} min left", self._done, self._steps)

    def clear(self) -> None:
        self._line.clear()
