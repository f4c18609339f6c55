"""Many files: one result each, one bad file never stopping the rest."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from .dicom.spacing import user_spacing
from .errors import DeviceError, DicomError, InvalidArgument, LcxError
from .files import sweep_parts, write_together
from .images import read_mammogram
from .mammogram import Mammogram
from .parallel import submit
from .pipeline import Detector, ImageReport
from .report.overlay import OVERLAY_MARK, OVERLAY_MARK_WITHIN

#: What is taken from a folder, besides files without a suffix that say they are DICOM (exports often have none).
#: Our own pictures are left out: results may lie beside the films, and a second run is to find what the first found.
SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ".png", ".pgm", ".jpg", ".jpeg", ".tif", ".tiff"})

FORMATS = ("json", "png")


@dataclass(frozen=True)
class Result:
    """What became of one file: a report, or the error that stopped it; both, where the report could not be written."""

    path: Path
    report: ImageReport | None
    error: LcxError | None
    written: tuple[Path, ...] = ()


def find_images(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The image files among these paths, folders searched to the bottom, in order, each once.

    What may be an image but cannot be looked at (a link to nowhere, a folder closed to this user) is among them, so
    that its error is told when it is read.

    Raises:
        InvalidArgument: if a path does not exist or a folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except PermissionError:  # nobody may tell us if it is there
            is_folder = False
        except OSError:
            raise InvalidArgument(f"{path}: no such file or folder") from None
        if is_folder:
            inside = sorted(_images_in(path))
            if not inside:
                raise InvalidArgument(f"{path}: no image in this folder ({', '.join(sorted(SUFFIXES))})")
            found.update(dict.fromkeys(inside))
        else:
            found[path] = None
    return tuple(found)


def _images_in(folder: Path) -> Iterator[Path]:
    """The images of a folder and of those in it, links to folders included, each folder once."""
    closed: list[Path] = []
    seen: set[tuple[int, int] | None] = set()
    walk = os.walk(folder, onerror=lambda error: closed.append(Path(error.filename)), followlinks=True)
    for root, folders, files in walk:
        here = Path(root)
        identity = _identity(here)
        if identity in seen:  # by another link, or in a circle
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))  # in place: what is gone into
        for name in files:
            path = here / name
            status = _status(path)
            # Pipes and devices are no images; what cannot be asked claims to be one by its name.
            is_file = status is None or stat.S_ISREG(status.st_mode)
            if is_file and not name.startswith(".") and _may_be_image(path):
                yield path
    yield from closed


def _status(path: Path) -> os.stat_result | None:
    """What the system says of a file; None if it cannot be had."""
    try:
        return path.stat()
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    """What a file is, by any name; None if it cannot be had."""
    status = _status(path)
    return None if status is None else (status.st_dev, status.st_ino)


def _may_be_image(path: Path) -> bool:
    if path.suffix and path.suffix.lower() not in SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            if path.suffix:
                return path.suffix.lower() != ".png" or OVERLAY_MARK not in file.read(OVERLAY_MARK_WITHIN)
            return path.name != "DICOMDIR" and file.read(132)[128:] == b"DICM"
    except OSError:
        return True  # listed, so that its error is told


def result_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """A name for each input's results: its stem; where stems clash, with as many parent folders as tell them apart."""
    names = [path.stem for path in paths]
    depth = 1
    while len(set(names)) < len(names) and depth < 32:
        clashing = {name for name in names if names.count(name) > 1}
        for i, path in enumerate(paths):
            if names[i] in clashing:
                names[i] = "_".join((*path.absolute().parts[1:-1][-depth:], path.name))
        depth += 1
    return tuple(names)


def infer_files(
    detector: Detector,
    paths: Sequence[Path],
    *,
    out: Path | None,
    formats: Sequence[str] = FORMATS,
    pixel_spacing_mm: float | None = None,
) -> Iterator[Result]:
    """Run a detector over files, writing each file's results as it is done.

    Args:
        detector: from ``load_model``.
        paths: files.
        out: folder for the results, made if missing; None writes nothing.
        formats: ``"json"``, ``"png"``.
        pixel_spacing_mm: overrides whatever the files say.

    Yields:
        One result per path, in order, once its files are written; reading overlaps the file before, writing the file
        after. A file that cannot be read gives a result with its error.

    Raises:
        InvalidArgument: for a spacing that is none, an ``out`` that cannot be made, or a result that would take an
            image's place.
        EngineError, DeviceError: what would stop every other file too, the lack of threads among it.
    """
    user_spacing(pixel_spacing_mm)  # Wrong for one file is wrong for all.
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(f"{out}: cannot be made a folder ({error.strerror})") from error
        sweep_parts(out)
    names = result_names(paths)
    if out is not None:
        _check_images_stay(paths, [out / f"{name}.{kind}" for name in names for kind in formats])
    # Three films are on their way at most: one is read, one inferred, one's results written. Decoders, hashing and PNG
    # compression release the GIL.
    with (
        ThreadPoolExecutor(1, thread_name_prefix="lcx-read") as reader,
        ThreadPoolExecutor(1, thread_name_prefix="lcx-write") as writer,
    ):
        ahead = submit(reader, _read, paths[0], pixel_spacing_mm) if paths else None
        behind: Future[Result] | None = None
        for i, (path, name) in enumerate(zip(paths, names, strict=True)):
            assert ahead is not None
            read = ahead
            ahead = submit(reader, _read, paths[i + 1], pixel_spacing_mm) if i + 1 < len(paths) else None
            try:
                inferred = _infer(detector, path, read)
            except LcxError:
                if behind is not None:
                    yield behind.result()
                raise
            if behind is not None:
                yield behind.result()
            behind = submit(writer, _written, inferred, out, name, formats)
        if behind is not None:
            yield behind.result()


def _check_images_stay(images: Iterable[Path], results: Iterable[Path]) -> None:
    """Refuse to write where an image lies, whatever the two paths are called."""
    taken = {_identity(path): path for path in images}
    for result in results:
        identity = _identity(result)
        if identity is not None and (image := taken.get(identity)) is not None:
            raise InvalidArgument(f"{image}: a result would be written over this image; choose another --out")


def _infer(detector: Detector, path: Path, read: Future[tuple[Mammogram, float]]) -> Result:
    try:
        mammogram, seconds = read.result()
        return Result(path, _with_read_time(detector.infer(mammogram), seconds), None)
    except (DicomError, InvalidArgument) as error:
        return Result(path, None, error)
    except MemoryError:
        return Result(path, None, DeviceError("not enough memory for this image"))


def _written(result: Result, out: Path | None, name: str, formats: Sequence[str]) -> Result:
    """The result, once its files are written."""
    if result.report is None or out is None:
        return result
    try:
        return replace(result, written=write_results(result.report, out, name, formats))
    except (DicomError, InvalidArgument) as error:
        return replace(result, error=error)
    except MemoryError:
        return replace(result, error=DeviceError("not enough memory for the results"))


def _read(path: Path, pixel_spacing_mm: float | None) -> tuple[Mammogram, float]:
    started = time.perf_counter()
    mammogram = read_mammogram(path, pixel_spacing_mm=pixel_spacing_mm)
    return mammogram, time.perf_counter() - started


def _with_read_time(report: ImageReport, seconds: float) -> ImageReport:
    timings = {**report.timings, "read": seconds}
    timings["total"] = sum(value for step, value in timings.items() if step != "total")
    return replace(report, timings=timings)


def write_results(report: ImageReport, out: Path, name: str, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write one report in each format as ``out/name.<format>``, all of them or none; JSON last, so that it says so."""
    contents = {kind: _content(report, kind) for kind in dict.fromkeys(formats)}
    last_json = sorted(contents, key="json".__eq__)
    write_together({out / f"{name}.{kind}": contents[kind] for kind in last_json})
    return tuple(out / f"{name}.{kind}" for kind in contents)


def _content(report: ImageReport, kind: str) -> bytes:
    if kind == "json":
        from .report.json import json_content

        return json_content(report)
    if kind == "png":
        from .report.overlay import overlay_content

        return overlay_content(report)
    raise InvalidArgument(f"format {kind!r}; accepted: {', '.join(FORMATS)}")
