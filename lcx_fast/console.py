"""The command and its terminal: standard streams that may be closed, full, or unable to show a name; and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

#: What shells report of a program that SIGINT ended.
EXIT_INTERRUPTED = 128 + signal.SIGINT


def exit_at_once(*_: object) -> None:
    """A handler of SIGINT for as long as nothing has been begun, and again when all is done.

    A KeyboardInterrupt would be lost, or be told in a traceback, where the interpreter loads modules or ends.
    """
    os._exit(EXIT_INTERRUPTED)


def let_interrupts_exit() -> None:
    """From here on Ctrl-C ends the process at once; one that ignores it, as a shell's background job, still does."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, exit_at_once)


def let_interrupts_unwind() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt again, for there is work to be ended in order."""
    if signal.getsignal(signal.SIGINT) is exit_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
    """A line on the terminal that says how far; silent where there is no terminal, or none is wanted.

    As a context it leaves no line behind, however it ends: an error is told on a line of its own.
    """

    def __init__(self, *, wanted: bool = True) -> None:
        self._shown = wanted and sys.stderr.isatty()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, what: str, done: int, total: int) -> None:
        if self._shown:
            say(f"\r\033[K[{done}/{total}] {printable(what)}", end="")

    def clear(self) -> None:
        if self._shown:
            say("\r\033[K", end="")
