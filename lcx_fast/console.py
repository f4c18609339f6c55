"""What the command does with its standard streams: they may be closed, full, or unable to show a name."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def prepare_standard_streams() -> None:
    """Make the three streams safe to use, whatever the caller left of them.

    A closed one leads to the null device: its number would else go to the next file that is opened, and printing to
    it would land there. Characters that an encoding lacks are escaped and stop nothing.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    nowhere = Path(os.devnull)
    sys.stdout = sys.stdout or nowhere.open("w")
    sys.stderr = sys.stderr or nowhere.open("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(message: str, *, end: str = "\n") -> None:
    """Print on standard error. Where that cannot be written, nothing more is said: results and exit code must do."""
    try:
        print(message, end=end, file=sys.stderr, flush=True)
    except OSError:
        # What is still buffered would be tried again at exit, and end the process with 120.
        nowhere = Path(os.devnull)
        sys.stderr = nowhere.open("w")


def printable(text: str) -> str:
    """The text in one line that a terminal shows as it is: control characters and broken ones are escaped.

    File names may hold anything: line breaks, a terminal's commands, bytes that are no characters.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class ProgressLine:
    """A line on the terminal that says how far; silent where there is no terminal, or none is wanted."""

    def __init__(self, *, wanted: bool = True) -> None:
        self._shown = wanted and sys.stderr.isatty()

    def show(self, what: str, done: int, total: int) -> None:
        if self._shown:
            say(f"\r\033[K[{done}/{total}] {printable(what)}", end="")

    def clear(self) -> None:
        if self._shown:
            say("\r\033[K", end="")
