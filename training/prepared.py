"""Any dataset of training.datasets as training samples, prepared once and kept in a folder.

    cache/index.json        what was prepared and how; written last, so that a folder with an index is complete
    cache/000123.npz        one image's sample, or its two forms (see Note [Resampled images] in training.prepare)

Preparation goes on where a killed one stopped, in several processes if asked. An image that cannot be used is left
out, counted, and named with its reason.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcx_fast.console import ProgressLine
from training.datasets.record import CaseLog, Dataset, DatasetError, Record
from training.prepare import HIGH_PERCENTILE, LOW_PERCENTILE, PIXEL_SPACING_MM, Sample, make_sample

CACHE_VERSION = 2
INDEX = "index.json"
#: Images that a preparing process takes at a time.
_CHUNK = 8

Task = Callable[[tuple[int, Record]], tuple[str | None, list[tuple[str, str]]]]
#: In a preparing process, what it does.
_task: Task | None = None


def load_samples(
    data: Path,
    cache: Path,
    *,
    dataset: str | None = None,
    seed: int | None = None,
    spacing_mm: float = PIXEL_SPACING_MM,
    workers: int = 1,
) -> list[Sample]:
    """All samples of a dataset on a grid of ``spacing_mm``, from the folder ``cache`` or made and kept there.

    Args:
        data: the dataset's folder (or COCO file); not looked at if the cache is complete.
        cache: folder, made if missing.
        dataset: one of training.datasets.detect.FORMATS; found out from the folder if None.
        seed: of the split by patient, where the set has none of its own; None: the cache's, else 0. Only so do the
            images that measure a model stay apart from those that trained it.
        spacing_mm: mm per pixel of the samples.
        workers: processes that prepare images.

    Raises:
        DatasetError: the data cannot be read as that dataset, or nothing in it can be used.
        ValueError: the cache was made in another way.
    """
    how = {"version": CACHE_VERSION, "seed": seed or 0, "spacing_mm": spacing_mm}
    how |= {"low_percentile": LOW_PERCENTILE, "high_percentile": HIGH_PERCENTILE}
    if cache.is_file():
        raise ValueError(f"{cache}: a cache of an earlier version; delete it")
    if not (cache / INDEX).is_file():
        _prepare(data, cache, dataset, how, workers=workers)
    try:
        index = json.loads((cache / INDEX).read_text())
    except ValueError:
        raise ValueError(f"{cache / INDEX}: damaged; delete the folder {cache}") from None
    if seed is None:
        how["seed"] = index["how"]["seed"]
    if index["how"] != how or dataset not in (None, index["dataset"]):
        made = ", ".join(f"{key} {value}" for key, value in index["how"].items())
        raise ValueError(f"{cache}: prepared as {index['dataset']}, {made}; delete it or choose another folder")
    return [sample for name in index["files"] for sample in _read(cache / name)]


def _prepare(data: Path, cache: Path, name: str | None, how: Mapping[str, Any], *, workers: int) -> None:
    from training.datasets.detect import open_dataset
    from training.datasets.splits import check_disjoint
    from training.datasets.summary import problems

    source = open_dataset(data, format_name=name, seed=how["seed"])
    check_disjoint(source)
    cache.mkdir(parents=True, exist_ok=True)
    files, total = [], len(source)
    task = partial(_prepare_one, source, cache, how)
    with ProgressLine() as progress:
        for number, (used, log) in enumerate(_map(task, list(source), workers), start=1):
            if used:
                files.append(used)
            for case, reason in log:
                source.skipped.add(case, reason)
            progress.show("images prepared", number, total)
    for line in problems(source.skipped, "skipped"):
        print(line, file=sys.stderr)
    if not files:
        raise DatasetError(f"{data}: none of its {total} images can be used")
    index = {"dataset": source.name, "how": dict(how), "files": files, "skipped": len(source.skipped)}
    _write_text(cache / INDEX, json.dumps(index))


def _map(task: Task, records: Sequence[Record], workers: int) -> Iterator[tuple[str | None, list[tuple[str, str]]]]:
    """Results in order."""
    items = list(enumerate(records))
    if workers <= 1 or len(items) < 2 * _CHUNK:
        yield from map(task, items)
        return
    # Spawned: a process that already computes in threads is not safely forked. The dataset is sent once a worker.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_set_task, initargs=(task,)) as pool:
        yield from pool.map(_run_task, items, chunksize=_CHUNK)


def _set_task(task: Task) -> None:
    global _task
    _task = task


def _run_task(item: tuple[int, Record]) -> tuple[str | None, list[tuple[str, str]]]:
    assert _task is not None
    return _task(item)


def _prepare_one(
    source: Dataset, cache: Path, how: Mapping[str, Any], item: tuple[int, Record]
) -> tuple[str | None, list[tuple[str, str]]]:
    """Write one image's file unless it is there; its name (None: not used) and what was left out."""
    from lcx_fast.errors import LcxError

    number, record = item
    path = cache / f"{number:06d}.npz"
    key = json.dumps({**how, "dataset": source.name, "name": record.name, "split": record.split}, sort_keys=True)
    if path.is_file() and _key(path) == key:
        return path.name, []
    # A worker's log is a copy that nobody reads, so what this image adds to it is handed back.
    log, source.skipped = source.skipped, CaseLog()
    samples: list[Sample] = []
    try:
        samples = list(make_samples(source, record, spacing_mm=how["spacing_mm"]))
    except (LcxError, DatasetError, OSError) as error:
        source.skipped.add(record.name, error)
    finally:
        added, source.skipped = list(source.skipped), log
    if samples:
        _write(path, samples, key)
    return (path.name if samples else None), added


def make_samples(source: Dataset, record: Record, *, spacing_mm: float) -> Iterator[Sample]:
    """The samples of one image; none, with a reason in ``source.skipped``, if an outline cannot be had.

    A CDD-CESM image at native size gives two: as it is, and resampled (Note [Resampled images]).

    Raises:
        LcxError, DatasetError: the image cannot be read, or holds no breast.
    """
    from training.datasets.cdd_cesm_set import CddCesm

    if isinstance(source, CddCesm):
        original = source.original(record)
        forms = (True,) if original.folder == "resized512" else (False, True)
        yield from (make_sample(original, resampled=form, spacing_mm=spacing_mm) for form in forms)
        return
    sample = _record_sample(source, record, spacing_mm=spacing_mm)
    if sample is not None:
        yield sample


def _record_sample(source: Dataset, record: Record, *, spacing_mm: float) -> Sample | None:
    from lcx_fast.preprocess import to_model_grid

    mammogram = source.load(record)
    masks = [mask for _, mask in source.outline_masks(record, mammogram.shape)]
    if len(masks) < len(record.outlines):
        return None  # a lesion nobody can place would count as background; the set has logged it
    seen = to_model_grid(mammogram, spacing_mm, low_percentile=LOW_PERCENTILE, high_percentile=HIGH_PERCENTILE)
    if not seen.breast.any():
        raise DatasetError("no breast found")
    labels = _labels_on_grid(masks, scale=seen.grid.scale, shape=seen.breast.shape)
    for number in range(1, len(masks) + 1):
        if not ((labels == number) & seen.breast).any():
            source.skipped.add(record.name, "an outline lies outside the breast that was found, or under another one")
            return None
    rows, columns = np.nonzero(seen.breast.any(1))[0], np.nonzero(seen.breast.any(0))[0]
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    others = [k for k, outline in enumerate(record.outlines, start=1) if outline.pathology != "malignant"]
    return Sample(
        name=record.name,
        patient=record.patient,
        pathology=record.pathology,
        split=record.split,
        folder=source.name,
        annotated=record.annotated,
        calcification_only=record.calcification_only,
        resampled=False,
        image=seen.image[box],
        breast=seen.breast[box],
        labels=labels[box],
        spacing_mm=spacing_mm,
        not_malignant=tuple(others) if record.pathology == "malignant" else (),
        laterality=record.laterality or "",
    )


def _labels_on_grid(
    masks: list[NDArray[np.bool_]], *, scale: tuple[float, float], shape: tuple[int, ...]
) -> NDArray[np.int16]:
    """int16 [h, w]: k where mask k covers most of a pixel; a smaller lesion lies over a larger one.

    A lesion too small to cover half of any pixel has those that it covers at least half as much as it covers any.
    """
    from lcx_fast import ops

    labels = np.zeros(shape, np.int16)
    for k in sorted(range(len(masks)), key=lambda k: -int(masks[k].sum())):
        covered = ops.resample(masks[k].astype(np.float32), scale=scale)
        labels[covered > min(0.5, 0.5 * float(covered.max()))] = k + 1
    return labels


def _write(path: Path, samples: list[Sample], key: str) -> None:
    arrays: dict[str, NDArray[np.generic]] = {}
    facts = []
    for index, sample in enumerate(samples):
        arrays[f"image{index}"] = np.round(sample.image * 255.0).astype(np.uint8)
        arrays[f"breast{index}"] = sample.breast
        arrays[f"labels{index}"] = sample.labels
        facts.append({name: value for name, value in asdict(sample).items() if not isinstance(value, np.ndarray)})
    arrays["header"] = np.frombuffer(json.dumps({"key": key, "samples": facts}).encode(), np.uint8)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def _key(path: Path) -> str:
    with np.load(path, allow_pickle=False) as arrays:
        return str(json.loads(arrays["header"].tobytes())["key"])


def _read(path: Path) -> Iterator[Sample]:
    with np.load(path, allow_pickle=False) as arrays:
        for index, facts in enumerate(json.loads(arrays["header"].tobytes())["samples"]):
            yield Sample(
                **{**facts, "not_malignant": tuple(facts["not_malignant"])},
                image=arrays[f"image{index}"].astype(np.float32) / np.float32(255.0),
                breast=arrays[f"breast{index}"],
                labels=arrays[f"labels{index}"],
            )


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)
