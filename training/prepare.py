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


def make_sample(record: cdd_cesm.CddCesmRecord, *, resampled: bool) -> Sample:
    """Read a record onto the model's grid, cropped to the breast's bounding box.

    Note [Resampled images]
    Most malignant images exist only at 512 x 512 and most others only at native size, so a network could read
    the class off the blur. ``resampled=True`` takes a native image through the same reduction and JPEG first.
    """
    # Imported here: a run that starts from its cache needs no compiled core.
    from lcx_fast import ops
    from lcx_fast.mammogram import Mammogram, PixelSpacing
    from lcx_fast.preprocess import to_model_grid

    pixels, spacing_mm = cdd_cesm.read_image(record), record.pixel_spacing_mm
    labels = cdd_cesm.read_labels(record)
    if resampled and record.folder != "resized512":
        factor = max(pixels.shape) / cdd_cesm.RESIZED_SIDE
        size = (max(1, round(pixels.shape[1] / factor)), max(1, round(pixels.shape[0] / factor)))
        pixels = _through_jpeg(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        rows = np.minimum((np.arange(size[1]) + 0.5) * factor, labels.shape[0] - 1).astype(int)
        columns = np.minimum((np.arange(size[0]) + 0.5) * factor, labels.shape[1] - 1).astype(int)
        labels, spacing_mm = labels[rows][:, columns], spacing_mm * factor
    mammogram = Mammogram(pixels, PixelSpacing(spacing_mm, spacing_mm, "user"), name=record.name)
    seen = to_model_grid(mammogram, PIXEL_SPACING_MM, low_percentile=LOW_PERCENTILE, high_percentile=HIGH_PERCENTILE)
    coarse_labels = np.zeros(seen.image.shape, np.int16)
    for value in np.unique(labels[labels != 0]):
        covered = ops.resample((labels == value).astype(np.float32), scale=seen.grid.scale)
        coarse_labels[covered > 0.5] = value
    rows, columns = np.nonzero(seen.breast.any(1))[0], np.nonzero(seen.breast.any(0))[0]
    if not rows.size:
        raise cdd_cesm.DatasetError(f"{record.name}: no breast found")
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return Sample(
        name=record.name,
        patient=record.patient,
        pathology=record.pathology,
        split=record.split,
        folder=record.folder,
        annotated=record.mask_path is not None or record.pathology == "normal",
        calcification_only=record.calcification_only,
        resampled=resampled or record.folder == "resized512",
        image=seen.image[box],
        breast=seen.breast[box],
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
        facts.append({key: value for key, value in asdict(sample).items() if not isinstance(value, np.ndarray)})
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
