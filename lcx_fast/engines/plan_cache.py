"""TensorRT plans on disk, so that a model is compiled once for each GPU.

A plan is code that runs on the card with this process's rights, so the folder must belong to this user and be closed to
others, and a file is checked from end to end before TensorRT sees it. Whatever is wrong with one, it is built anew.

A file is ``MAGIC``, one line of JSON (the key, the payload's length and SHA-256), and the payload. It is written under
a temporary name and renamed; whoever builds holds a lock, so that two processes build once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import EngineError, InvalidArgument
from ..files import sweep_parts, write_bytes

MAGIC = b"lcx_fast plan 1\n"
DEFAULT_MAX_BYTES = 2 << 30


@dataclass(frozen=True)
class PlanKey:
    """What a plan depends on; another value of any of these needs another plan.

    Attributes:
        model_sha256: of the .onnx file.
        library: e.g. ``"tensorrt 11.1.0"``.
        gpu: its name and compute capability, or the latter alone for plans that fit every GPU of it.
        driver: the CUDA version the driver speaks; empty for plans that do not depend on it.
        options: precision and the like.
    """

    model_sha256: str
    library: str
    gpu: str
    driver: str
    options: str

    @property
    def file_name(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.plan"


@dataclass(frozen=True)
class PlanEntry:
    """One file of the cache; ``key`` is None where the file is no whole plan."""

    path: Path
    size: int
    key: PlanKey | None


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/lcx_fast/plans``, or the same under ``~/.cache``.

    Raises:
        EngineError: if neither is known.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a path that is not absolute.
    try:
        root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    except RuntimeError:  # no HOME, and no such user either
        raise EngineError("plan cache: this user has no home folder; set HOME or XDG_CACHE_HOME") from None
    return root / "lcx_fast" / "plans"


class PlanCache:
    """Plans in one folder, safe for several processes at once.

    Args:
        folder: made when first written to, with mode 0700; None for ``default_folder()``.
        max_bytes: the plans longest unused are removed beyond this.

    Raises:
        EngineError: if there is no default folder.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = folder if folder is not None else default_folder()
        self.max_bytes = max_bytes

    def load(self, key: PlanKey) -> bytes | None:
        """The plan of this key, or None if there is none that is whole.

        Raises:
            EngineError: if the folder is open to others.
        """
        if not self.folder.is_dir():
            return None
        self._check_folder()
        path = self.folder / key.file_name
        found = _read(path)
        if found is None or found[0] != key:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # marks it as used, for _shrink
        return found[1]

    def store(self, key: PlanKey, plan: bytes) -> Path:
        """Write a plan in place of any other of this key.

        Raises:
            EngineError: if it cannot be written or the folder is open to others.
        """
        self._make_folder()
        header = asdict(key) | {"bytes": len(plan), "sha256": hashlib.sha256(plan).hexdigest()}
        path = self.folder / key.file_name
        sweep_parts(self.folder)
        try:
            write_bytes(path, MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + plan)
        except InvalidArgument as error:
            raise EngineError(f"plan cache: {error}") from error
        self._shrink(keep=path)
        return path

    def remove(self, key: PlanKey) -> None:
        """Forget the plan of this key."""
        with contextlib.suppress(OSError):
            (self.folder / key.file_name).unlink(missing_ok=True)

    def load_or_build(self, key: PlanKey, build: Callable[[], bytes]) -> bytes:
        """The plan of this key, built if there is none; if another process is building it, wait for that.

        Raises:
            EngineError: if the folder is open to others or cannot be written, and whatever ``build`` raises.
        """
        plan = self.load(key)
        if plan is not None:
            return plan
        self._make_folder()
        with self._lock(key):
            plan = self.load(key)  # built by another process while this one waited
            if plan is None:
                plan = build()
                self.store(key, plan)
        return plan

    def entries(self) -> tuple[PlanEntry, ...]:
        """What lies in the folder, the most recently used first."""
        return tuple(PlanEntry(path, size, _read_key(path)) for path, size in self._files())

    def _files(self) -> list[tuple[Path, int]]:
        """Plans and their sizes, the most recently used first."""
        found = []
        for path in self.folder.glob("*.plan"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, path, status.st_size))
        return [(path, size) for _, path, size in sorted(found, reverse=True)]

    def _make_folder(self) -> None:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _cannot_be_made(self.folder, error) from error
        self._check_folder()

    def _check_folder(self) -> None:
        status = self.folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise EngineError(f"plan cache {self.folder}: must be a folder of this user's own with mode 0700")

    @contextlib.contextmanager
    def _lock(self, key: PlanKey) -> Iterator[None]:
        # The lock file stays: removing it would let two processes hold locks on two files of one name.
        path = self.folder / f"{key.file_name}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_be_made(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _shrink(self, *, keep: Path) -> None:
        total = 0
        for path, size in self._files():
            total += size
            if total > self.max_bytes and path != keep:
                with contextlib.suppress(OSError):
                    path.unlink()


def _cannot_be_made(path: Path, error: OSError) -> EngineError:
    return EngineError(f"plan cache {path}: cannot be made ({error.strerror}); set XDG_CACHE_HOME to a folder that can")


def _split(content: bytes) -> tuple[dict[str, str | int], bytes] | None:
    if not content.startswith(MAGIC):
        return None
    line, newline, payload = content[len(MAGIC) :].partition(b"\n")
    try:
        header = json.loads(line)
    except ValueError:
        return None
    return (header, payload) if newline and isinstance(header, dict) else None


def _key_of(header: dict[str, str | int]) -> PlanKey | None:
    try:
        return PlanKey(**{name: str(header[name]) for name in PlanKey.__dataclass_fields__})
    except KeyError:
        return None


def _read(path: Path) -> tuple[PlanKey, bytes] | None:
    """Key and payload of a file that is whole, else None."""
    try:
        parts = _split(path.read_bytes())
    except OSError:
        return None
    if parts is None:
        return None
    header, payload = parts
    key = _key_of(header)
    whole = header.get("bytes") == len(payload) and header.get("sha256") == hashlib.sha256(payload).hexdigest()
    return (key, payload) if key is not None and whole else None


def _read_key(path: Path) -> PlanKey | None:
    found = _read(path)
    return found[0] if found else None
