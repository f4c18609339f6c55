"""From a CDD-CESM record to the arrays the network trains on; training.prepared has any dataset, and keeps them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.datasets import cdd_cesm

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.5
PIXEL_SPACING_MM = 0.5


@dataclass(frozen=True)
class Sample:
    """One image on the model's grid.

    image: float32 [H, W] in 0..1, zero outside the breast. breast: bool [H, W]. labels: int16 [H, W], see
    training.datasets.cdd_cesm.read_labels. resampled: False where the image came straight from native size.
    spacing_mm: mm per pixel. not_malignant: in a malignant image, the labels of the findings that are not.
    laterality: L or R, "" where it is not known.
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
    spacing_mm: float = PIXEL_SPACING_MM
    not_malignant: tuple[int, ...] = ()
    laterality: str = ""


def make_sample(record: cdd_cesm.CddCesmRecord, *, resampled: bool, spacing_mm: float = PIXEL_SPACING_MM) -> Sample:
    """Read a record onto the model's grid, cropped to the breast's bounding box.

    Note [Resampled images]
    Most malignant images exist only at 512 x 512 and most others only at native size, so a network could read
    the class off the blur. ``resampled=True`` takes a native image through the same reduction and JPEG first.
    """
    pixels, labels, source_mm = read_pixels(record, resampled=resampled)
    image, breast, (coarse_labels,) = to_grid(
        pixels, [labels], source_mm=source_mm, spacing_mm=spacing_mm, name=record.name
    )
    return Sample(
        name=record.name,
        patient=record.patient,
        pathology=record.pathology,
        split=record.split,
        folder=record.folder,
        annotated=record.mask_path is not None or record.pathology == "normal",
        calcification_only=record.calcification_only,
        resampled=resampled or record.folder == "resized512",
        image=image,
        breast=breast,
        labels=coarse_labels,
        spacing_mm=spacing_mm,
        laterality="L" if record.side.upper() == "L" else "R",
    )


def read_pixels(
    record: cdd_cesm.CddCesmRecord, *, resampled: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int16], float]:
    """Grey values, labels and mm per pixel of a record; ``resampled``: see Note [Resampled images].

    Raises:
        DatasetError: image and mask differ in size.
    """
    pixels, labels, source_mm = cdd_cesm.read_image(record), cdd_cesm.read_labels(record), record.pixel_spacing_mm
    if labels.shape != pixels.shape:
        sizes = " x ".join(map(str, labels.shape)), " x ".join(map(str, pixels.shape))
        raise cdd_cesm.DatasetError(f"the mask is {sizes[0]}, its image {sizes[1]}")
    if resampled and record.folder != "resized512":
        factor = max(pixels.shape) / cdd_cesm.RESIZED_SIDE
        size = (max(1, round(pixels.shape[1] / factor)), max(1, round(pixels.shape[0] / factor)))
        pixels = _through_jpeg(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        rows = np.minimum((np.arange(size[1]) + 0.5) * factor, labels.shape[0] - 1).astype(int)
        columns = np.minimum((np.arange(size[0]) + 0.5) * factor, labels.shape[1] - 1).astype(int)
        labels, source_mm = labels[rows][:, columns], source_mm * factor
    return pixels, labels, source_mm


def to_grid(
    pixels: NDArray[Any],
    label_maps: Sequence[NDArray[np.int16]],
    *,
    source_mm: float,
    spacing_mm: float,
    name: str,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[NDArray[np.int16]]]:
    """An image and its label maps on the model's grid, cropped to the breast's bounding box.

    Args:
        pixels: [H, W], brighter meaning denser.
        label_maps: each int16 [H, W]; a grid pixel gets the label that covers more than half of it.
        source_mm: mm per pixel of ``pixels``.
        spacing_mm: mm per pixel of the grid.
        name: of the image, for the error.

    Returns:
        image float32 [h, w] in 0..1, zero outside the breast; breast bool [h, w]; the maps int16 [h, w].

    Raises:
        DatasetError: no breast is found.
    """
    # Imported here: a run that starts from its cache needs no compiled core.
    from lcx_fast import ops
    from lcx_fast.mammogram import Mammogram, PixelSpacing
    from lcx_fast.preprocess import to_model_grid

    mammogram = Mammogram(pixels, PixelSpacing(source_mm, source_mm, "user"), name=name)
    seen = to_model_grid(mammogram, spacing_mm, low_percentile=LOW_PERCENTILE, high_percentile=HIGH_PERCENTILE)
    rows, columns = np.nonzero(seen.breast.any(1))[0], np.nonzero(seen.breast.any(0))[0]
    if not rows.size:
        raise cdd_cesm.DatasetError(f"{name}: no breast found")
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    on_grid = []
    for labels in label_maps:
        result = np.zeros(seen.image.shape, np.int16)
        for value in np.unique(labels[labels != 0]):
            covered = ops.resample((labels == value).astype(np.float32), scale=seen.grid.scale)
            result[covered > 0.5] = value
        on_grid.append(result[box])
    return seen.image[box], seen.breast[box], on_grid


def _through_jpeg(image: Image.Image) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded.convert("L"))
