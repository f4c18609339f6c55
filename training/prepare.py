"""From a dataset record to the arrays the network trains on, cached so that an epoch pays only for itself."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from training.datasets import cdd_cesm

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.5
PIXEL_SPACING_MM = 0.5
CACHE_VERSION = 1


@dataclass(frozen=True)
class Sample:
    """One image on the model's grid.

    image: float32 [H, W] in 0..1, zero outside the breast. breast: bool [H, W]. labels: int16 [H, W], see
    training.datasets.cdd_cesm.read_labels. resampled: False where the image came straight from native size.
    """

    name: str
    patient: str
    pathology: str
    split: str
    folder: str
    annotated: bool
    calcification_only: bool
    resampled: bool
    image: NDArray[np.float32]
    breast: NDArray[np.bool_]
    labels: NDArray[np.int16]


def to_model_grid(
    image: NDArray[np.uint8], spacing_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Area-average to the model's spacing, find the breast, window it to 0..1.

    Returns:
        image float32 [h, w], breast bool [h, w], and the two averaging matrices ([h, H] and [w, W]) that took
        it there, so that labels can take the same way.
    """
    rows = area_weights(image.shape[0], PIXEL_SPACING_MM / spacing_mm)
    columns = area_weights(image.shape[1], PIXEL_SPACING_MM / spacing_mm)
    coarse = rows @ image.astype(np.float32) @ columns.T
    breast = breast_mask(coarse)
    low, high = np.percentile(coarse[breast], [LOW_PERCENTILE, HIGH_PERCENTILE])
    windowed = np.clip((coarse - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return np.where(breast, windowed, 0.0).astype(np.float32), breast, rows, columns


def area_weights(length: int, factor: float) -> NDArray[np.float32]:
    """Averaging matrix [ceil(length / factor), length]: output i is the mean over [i, i + 1) * factor."""
    count = max(1, int(np.ceil(length / factor - 1e-6)))
    edges = np.minimum(np.arange(count + 1) * factor, length)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    overlap = np.maximum(overlap, 0.0)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), np.float32)


def breast_mask(coarse: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest bright region, closed and filled, of an image on the model's grid."""
    smooth = ndimage.gaussian_filter(coarse, 1.0)
    bright = smooth > 0.04 * float(np.percentile(smooth, 99.0))
    components, count = ndimage.label(bright)
    if count == 0:
        return np.ones(coarse.shape, bool)
    largest = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_opening(largest, iterations=3)))


def make_sample(record: cdd_cesm.CddCesmRecord, *, resampled: bool) -> Sample:
    """Read a record onto the model's grid, cropped to the breast's bounding box.

    Note [Resampled images]
    Most malignant images exist only at 512 x 512 and most others only at native size, so a network could read
    the class off the blur. ``resampled=True`` takes a native image through the same reduction and JPEG first.
    """
    pixels, spacing_mm = cdd_cesm.read_image(record), record.pixel_spacing_mm
    labels = cdd_cesm.read_labels(record)
    if resampled and record.folder != "resized512":
        factor = max(pixels.shape) / cdd_cesm.RESIZED_SIDE
        size = (max(1, round(pixels.shape[1] / factor)), max(1, round(pixels.shape[0] / factor)))
        pixels = _through_jpeg(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        rows = np.minimum((np.arange(size[1]) + 0.5) * factor, labels.shape[0] - 1).astype(int)
        columns = np.minimum((np.arange(size[0]) + 0.5) * factor, labels.shape[1] - 1).astype(int)
        labels, spacing_mm = labels[rows][:, columns], spacing_mm * factor
    image, breast, row_weights, column_weights = to_model_grid(pixels, spacing_mm)
    coarse_labels = np.zeros(image.shape, np.int16)
    for value in np.unique(labels[labels != 0]):
        covered = row_weights @ (labels == value).astype(np.float32) @ column_weights.T
        coarse_labels[covered > 0.5] = value
    ys, xs = np.nonzero(breast.any(1))[0], np.nonzero(breast.any(0))[0]
    box = (slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1))
    return Sample(
        name=record.name,
        patient=record.patient,
        pathology=record.pathology,
        split=record.split,
        folder=record.folder,
        annotated=record.mask_path is not None or record.pathology == "normal",
        calcification_only=record.calcification_only,
        resampled=resampled or record.folder == "resized512",
        image=image[box],
        breast=breast[box],
        labels=coarse_labels[box],
    )


def load_samples(data: Path, cache: Path) -> list[Sample]:
    """All samples of a CDD-CESM folder, from ``cache`` (an .npz file) if it is there, else made and cached.

    An image at native size appears twice: as it is, and resampled (see Note [Resampled images]).
    """
    if cache.is_file():
        return _read_cache(cache)
    samples = []
    for record in cdd_cesm.read_records(data):
        if record.folder == "resized512":
            samples.append(make_sample(record, resampled=True))
        else:
            samples += [make_sample(record, resampled=flag) for flag in (False, True)]
    _write_cache(cache, samples)
    return samples


def _write_cache(path: Path, samples: Sequence[Sample]) -> None:
    arrays: dict[str, NDArray[np.generic]] = {}
    facts = []
    for index, sample in enumerate(samples):
        arrays[f"image{index}"] = np.round(sample.image * 255.0).astype(np.uint8)
        arrays[f"breast{index}"] = sample.breast
        arrays[f"labels{index}"] = sample.labels
        facts.append(
            {key: value for key, value in asdict(sample).items() if not isinstance(value, np.ndarray)}
        )
    header = json.dumps({"version": CACHE_VERSION, "samples": facts})
    arrays["header"] = np.frombuffer(header.encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    temporary.rename(path)


def _read_cache(path: Path) -> list[Sample]:
    with np.load(path, allow_pickle=False) as arrays:
        header = json.loads(arrays["header"].tobytes())
        if header["version"] != CACHE_VERSION:
            raise ValueError(f"{path}: cache version {header['version']}, wanted {CACHE_VERSION}; delete it")
        return [
            Sample(
                **facts,
                image=arrays[f"image{index}"].astype(np.float32) / np.float32(255.0),
                breast=arrays[f"breast{index}"],
                labels=arrays[f"labels{index}"],
            )
            for index, facts in enumerate(header["samples"])
        ]


def _through_jpeg(image: Image.Image) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded.convert("L"))
