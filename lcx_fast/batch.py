"""Many files: one result each, one bad file never stopping the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import DicomError, InvalidArgument, LcxError
from .pipeline import Detector, ImageReport

#: What is taken from a folder. Files without a suffix are taken too: DICOM exports often have none.
SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ".png", ".pgm", ".jpg", ".jpeg", ".tif", ".tiff", ""})
#: Files that lie beside images without being any.
NOT_IMAGES = frozenset({"DICOMDIR", "LICENSE", "README", "VERSION"})

FORMATS = ("json", "png")


@dataclass(frozen=True)
class Result:
    """What became of one file: a report, or the error that stopped it."""

    path: Path
    report: ImageReport | None
    error: LcxError | None
    written: tuple[Path, ...] = ()


def find_images(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The image files among these paths, folders searched to the bottom, in order, each once.

    Raises:
        InvalidArgument: if a path does not exist or a folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and _may_be_image(p.relative_to(path)))
            if not inside:
                raise InvalidArgument(f"{path}: no image in this folder ({', '.join(sorted(SUFFIXES - {''}))})")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise InvalidArgument(f"{path}: no such file or folder")
    return tuple(found)


def _may_be_image(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES and path.name not in NOT_IMAGES


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
        One result per path, in order. A file that cannot be read gives a result with its error.

    Raises:
        EngineError, DeviceError: what would stop every other file too.
    """
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(f"{out}: cannot be made a folder ({error.strerror})") from error
    for path, name in zip(paths, result_names(paths), strict=True):
        try:
            report = detector.infer(path, pixel_spacing_mm=pixel_spacing_mm)
            written = write_results(report, out, name, formats) if out is not None else ()
        except (DicomError, InvalidArgument) as error:
            yield Result(path, None, error)
            continue
        yield Result(path, report, None, written)


def write_results(report: ImageReport, out: Path, name: str, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write one report in each format as ``out/name.<format>``."""
    written = []
    for kind in formats:
        path = out / f"{name}.{kind}"
        if kind == "json":
            from .report.json import write_json

            write_json(report, path)
        elif kind == "png":
            from .report.overlay import write_overlay

            write_overlay(report, path)
        else:
            raise InvalidArgument(f"format {kind!r}; accepted: {', '.join(FORMATS)}")
        written.append(path)
    return tuple(written)
