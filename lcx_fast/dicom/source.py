"""The bytes behind a path, a bytes object or a binary file, and what to call them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from .. import _core
from ..errors import InvalidArgument
from .limits import MAX_FILE_BYTES

#: Bytes read at a time where a size is not known.
_PIECE = 1 << 20

BytesSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def load_bytes(source: BytesSource) -> tuple[memoryview, str]:
    """Read a source to its end.

    Args:
        source: a path, a bytes-like object, or a binary file object (read from where it stands).

    Returns:
        A read-only view of the bytes, and a name for reports: the file's name as given, else "bytes" or "file".

    Raises:
        InvalidArgument: if there is no such file, it cannot be read, or is empty, a folder, too large or not binary.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _checked(bytes(source), "bytes")
    if isinstance(source, str | os.PathLike):
        return _load_path(Path(source))
    read = getattr(source, "read", None)
    if read is None:
        raise InvalidArgument(
            f"cannot read from {type(source).__name__}; accepted: a path, bytes or a binary file object"
        )
    try:
        data = read()
    except (OSError, ValueError) as error:  # closed, say, or a connection that is gone
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(f"cannot read from the file object: {reason}") from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidArgument("the file object is in text mode; open it with 'rb'")
    given = getattr(source, "name", None)
    return _checked(bytes(data), Path(given).name if isinstance(given, str) and given else "file")


def _load_path(path: Path) -> tuple[memoryview, str]:
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # one that is closed to us is told as such
            raise InvalidArgument(f"{path} is a folder; a single file is accepted")
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise InvalidArgument(f"{path} has {size} bytes; at most {MAX_FILE_BYTES} are accepted")
            data = _core.read_bytes(file.fileno(), size)
            rest = bytearray()  # what was appended meanwhile; all of a pipe or a device, which have no size
            while len(data) + len(rest) <= MAX_FILE_BYTES and (piece := file.read(_PIECE)):
                rest += piece
            if rest:
                data = memoryview(bytes(data) + rest)
    except FileNotFoundError:
        raise InvalidArgument(f"no such file: {path}") from None
    except InvalidArgument:
        raise
    except ValueError as error:  # a name with a null character
        raise InvalidArgument(f"cannot read {str(path)!r}: {error}") from None
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror or type(error).__name__}") from None
    return _checked(data, path.name)


def _checked(data: bytes | memoryview, name: str) -> tuple[memoryview, str]:
    if not data:
        raise InvalidArgument(f"{name} is empty")
    if len(data) > MAX_FILE_BYTES:
        raise InvalidArgument(f"{name} has more than {MAX_FILE_BYTES} bytes")
    return memoryview(data), name
