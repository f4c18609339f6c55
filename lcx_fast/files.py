"""Writing results so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from .errors import InvalidArgument


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
    check_file_name(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
