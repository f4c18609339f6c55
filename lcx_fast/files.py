"""Writing results so that a reader never sees half of one, nor one without those that belong to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from .errors import InvalidArgument

# Note [Parts]
# A file is written as a part, `.NAME.PROCESS.RANDOM.part` beside it, and renamed. Whoever writes a part holds a lock on
# it, which ends with the process, however that ends; so a part whose lock can be had was left behind and may go. A
# process number would tell less: it is given anew, and means nothing in another container or on another machine.
_PART = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}\.part")
#: Characters of the name in a part's; a name may have 255 bytes, in UTF-8 four to a character, and the rest takes 30.
_LONGEST = 50


def check_file_name(path: Path) -> None:
    """Refuse what cannot name a file to write, before the work that makes its content.

    Raises:
        InvalidArgument: if it is a folder, or lies in none.
    """
    if path.is_dir():
        raise InvalidArgument(f"{path} is a folder; give the file's name too")
    if not path.parent.is_dir():
        raise InvalidArgument(f"{path}: cannot be written (no folder {path.parent})")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it and rename it.

    Raises:
        InvalidArgument: if it cannot be written.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files that appear together: all are whole before the first has its name, the last one last.

    Raises:
        InvalidArgument: if one cannot be written. None is there then that was not there before, and none is replaced
            unless the system refused a renaming after others.
    """
    for path in contents:
        check_file_name(path)
    new: list[Path] = []
    with contextlib.ExitStack() as parts:
        ready = {path: parts.enter_context(_part(path, content)) for path, content in contents.items()}
        for path, part in ready.items():
            was_there = os.path.lexists(path)
            try:
                part.replace(path)
            except OSError as error:
                for other in new:
                    other.unlink(missing_ok=True)
                raise InvalidArgument(f"{path}: cannot be written ({error.strerror})") from error
            if not was_there:
                new.append(path)


@contextlib.contextmanager
def _part(path: Path, content: bytes) -> Iterator[Path]:
    """A part with this content, removed in the end unless it was renamed."""
    try:
        part, file = _open_part(path)
        try:
            with file:
                file.write(content)
                file.flush()
                yield part
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be written ({error.strerror})") from error


def _open_part(path: Path) -> tuple[Path, BinaryIO]:
    """A new part of a file, locked."""
    while True:
        part = path.with_name(f".{path.name[:_LONGEST]}.{os.getpid()}.{secrets.token_hex(4)}.part")
        file = part.open("xb")
        with contextlib.suppress(OSError):  # a file system without locks; nobody sweeps there either
            fcntl.flock(file, fcntl.LOCK_EX)
        if part.exists():
            return part, file
        file.close()  # swept between its making and its locking


def sweep_parts(folder: Path) -> None:
    """Remove the parts that processes which are gone have left in a folder; see Note [Parts]."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError), Path(entry).open("r+b") as file:  # NFS locks what can be written
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    Path(entry).unlink()
