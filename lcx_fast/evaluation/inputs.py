"""Reading what ``lcx-fast evaluate`` compares: COCO JSON, folders of our JSON reports, folders of mask pictures.

Images are matched by name: the file's name without its ending (of COCO's ``file_name``, of the report, of the picture).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..dicom.limits import MAX_PIXELS, MAX_SIDE
from ..errors import InvalidArgument
from ..images import read_image
from .annotated import AnnotatedImage, from_masks

REPORT_SCHEMA = "lcx_fast.image_report/"
PICTURES = {".png", ".pgm", ".tif", ".tiff"}

Images = dict[str, AnnotatedImage]


def read_reference(path: Path) -> Images:
    """Reference lesions by image name.

    Args:
        path: a COCO dataset (images, annotations, categories), a folder of our JSON reports, or of mask pictures, in
            which each 8-connected component of nonzero pixels is a lesion.

    Raises:
        InvalidArgument: if it is none of these or does not hold what it should.
    """
    if path.is_dir():
        return _read_folder(path, is_reference=True)
    document = _load(path)
    if not isinstance(document, dict) or "images" not in document:
        raise InvalidArgument(f"{path}: no COCO dataset; needed: an object with images, annotations and categories")
    return _from_coco(document, document.get("annotations", []), path)


def read_predictions(path: Path, reference_path: Path) -> Images:
    """Predicted lesions by image name.

    Args:
        path: COCO results (a list with image_id, category_id, score, and bbox or segmentation), a COCO dataset whose
            annotations have scores, a folder of our JSON reports, or of pictures: masks, where all pictures hold only
            zeros and one other value, each component scoring 1; else probability maps from 0 to the format's highest
            value (1 for float32), cut at .5, each component scoring the mean of its top tenth.
        reference_path: a list of results is only numbers without the dataset they are about.

    Raises:
        InvalidArgument: as ``read_reference``.
    """
    if path.is_dir():
        return _read_folder(path, is_reference=False)
    document = _load(path)
    if isinstance(document, dict) and "images" in document:
        return _from_coco(document, document.get("annotations", []), path)
    if not isinstance(document, list):
        raise InvalidArgument(f"{path}: neither COCO results (a list) nor a COCO dataset")
    if reference_path.is_dir():
        raise InvalidArgument(f"{path}: COCO results need a COCO dataset as reference; {reference_path} is a folder")
    dataset = _load(reference_path)
    if not isinstance(dataset, dict):
        raise InvalidArgument(f"{reference_path}: no COCO dataset; needed: an object with images")
    return _from_coco(dataset, document, path)


def is_coco_pair(predictions: Path, reference: Path) -> bool:
    """Whether these are COCO results, a list, and a COCO dataset, as COCO's own tools take them."""
    if not (predictions.is_file() and reference.is_file()):
        return False
    with predictions.open("rb") as file:
        return file.read(4096).lstrip()[:1] == b"["


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{path}: not JSON ({error})") from error


def _shape(height: Any, width: Any) -> tuple[int, int]:
    shape = (int(height), int(width))
    if min(shape) < 1 or max(shape) > MAX_SIDE or shape[0] * shape[1] > MAX_PIXELS:
        raise ValueError(f"an image of {shape[0]} x {shape[1]} pixels")
    return shape


def _read_folder(folder: Path, *, is_reference: bool) -> Images:
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    reports = [p for p in files if p.suffix.lower() == ".json"]
    # The folder of `lcx-fast infer` holds overlay pictures beside the reports; reports go first.
    if reports:
        return {p.stem: _from_report(_load(p), p) for p in reports}
    pictures = [p for p in files if p.suffix.lower() in PICTURES]
    if not pictures:
        raise InvalidArgument(f"{folder}: no reports (.json) and no mask pictures ({', '.join(sorted(PICTURES))})")
    pixels: dict[str, NDArray[Any]] = {}
    for path in pictures:
        if path.stem in pixels:
            raise InvalidArgument(f"{path}: another picture of the folder has the same name")
        # Some spacing: a small picture has no plausible one, and none is needed.
        pixels[path.stem] = read_image(path, pixel_spacing_mm=1.0).pixels
    are_masks = is_reference or len({int(v) for p in pixels.values() for v in _levels(p)}) <= 1
    return {name: _from_picture(name, values, is_mask=are_masks) for name, values in pixels.items()}


def _from_report(document: Any, path: Path) -> AnnotatedImage:
    if not isinstance(document, dict) or not str(document.get("schema", "")).startswith(REPORT_SCHEMA):
        raise InvalidArgument(f"{path}: not a report of lcx-fast infer (schema {REPORT_SCHEMA}...)")
    try:
        image = document["image"]
        shape = _shape(image["rows"], image["columns"])
        lesions = document["lesions"]
        masks = [_from_contours(lesion["contours"], shape) for lesion in lesions]
        spacing = image.get("pixel_spacing_mm")
        return from_masks(
            path.stem,
            shape,
            masks,
            scores=[float(lesion["score"]) for lesion in lesions],
            score=float(document["score"]),
            pixel_area_mm2=None if spacing is None else float(spacing[0]) * float(spacing[1]),
            left_out=int((document.get("decision") or {}).get("candidates_left_out", 0)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"{path}: a damaged report ({type(error).__name__}: {error})") from error


def _from_contours(contours: Sequence[Any], shape: tuple[int, int]) -> ops.Rle:
    """The pixels whose centre lies inside the contours, as ``Lesion.mask()`` has them."""
    runs = ops.fill_polygons([np.asarray(c, np.float64).reshape(-1, 2) for c in contours], shape)
    return _painted(runs, shape)


def _painted(runs: NDArray[np.int32], shape: tuple[int, int]) -> ops.Rle:
    mask = np.zeros(shape, bool)
    for y, begin, end in runs:
        mask[y, begin:end] = True
    return ops.encode_rle(mask)


def _levels(pixels: NDArray[Any]) -> NDArray[Any]:
    """The nonzero values, as far as they are needed to tell a mask from a map: the highest, and one other."""
    highest = pixels.max(initial=0)
    others = pixels[(pixels != 0) & (pixels != highest)][:1]
    return np.append(others, highest) if highest else others


def _from_picture(name: str, pixels: NDArray[Any], *, is_mask: bool) -> AnnotatedImage:
    shape = (int(pixels.shape[0]), int(pixels.shape[1]))
    if is_mask:
        labels, count = ops.label_components(pixels != 0)
        scores = np.ones(count)
    else:
        scale = np.float32(1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max)
        probability = np.ascontiguousarray(pixels / scale, np.float32)
        labels, count = ops.label_components(probability > 0.5)
        top = ops.region_props(labels, probability, count=count).top_mean
        assert top is not None
        scores = top.astype(np.float64)
    return from_masks(name, shape, [ops.encode_rle(labels == k + 1) for k in range(count)], scores=scores)


def _from_coco(dataset: Mapping[str, Any], annotations: Any, path: Path) -> Images:
    """Images of a dataset with annotations, or results, that belong to them."""
    try:
        names = {int(c["id"]): str(c.get("name", c["id"])) for c in dataset.get("categories", [])}
        of_image: dict[int, list[Mapping[str, Any]]] = {int(image["id"]): [] for image in dataset["images"]}
        for annotation in annotations:
            image_id = int(annotation["image_id"])
            if image_id not in of_image:
                raise InvalidArgument(f"{path}: image_id {image_id} is not among the dataset's images")
            of_image[image_id].append(annotation)
        images: Images = {}
        for image in dataset["images"]:
            read = _coco_image(image, of_image[int(image["id"])], names)
            if read.name in images:
                raise InvalidArgument(f"{path}: two images are named {read.name!r}")
            images[read.name] = read
        return images
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{path}: not valid COCO JSON ({type(error).__name__}: {error})") from error


def _coco_image(
    image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], names: Mapping[int, str]
) -> AnnotatedImage:
    shape = _shape(image["height"], image["width"])
    spacing = image.get("pixel_spacing_mm")
    if isinstance(spacing, (int, float)):
        spacing = (spacing, spacing)
    masks = [_coco_mask(a.get("segmentation"), shape) for a in annotations]
    boxes = [a["bbox"] if "bbox" in a else _box(mask) for a, mask in zip(annotations, masks, strict=True)]
    return AnnotatedImage(
        name=Path(str(image.get("file_name", image["id"]))).stem,
        shape=shape,
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        masks=tuple(masks),
        scores=np.array([float(a.get("score", 1.0)) for a in annotations]),
        classes=tuple(names.get(int(a["category_id"]), str(a["category_id"])) for a in annotations),
        crowd=np.array([bool(a.get("iscrowd", 0)) for a in annotations], bool),
        patient=str(image.get("patient_id", image.get("patient", ""))),
        pixel_area_mm2=None if spacing is None else float(spacing[0]) * float(spacing[1]),
    )


def _box(mask: ops.Rle | None) -> tuple[int, int, int, int]:
    if mask is None:
        raise KeyError("bbox")
    y0, x0, y1, x1 = mask.bounding_box
    return x0, y0, x1 - x0, y1 - y0


def _coco_mask(segmentation: Any, shape: tuple[int, int]) -> ops.Rle | None:
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return ops.Rle.from_polygons(segmentation, shape)
    size = (int(segmentation["size"][0]), int(segmentation["size"][1]))
    if size != shape:
        raise InvalidArgument(f"a mask is {size[0]} x {size[1]} pixels, its image {shape[0]} x {shape[1]}")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return ops.Rle.from_counts(np.asarray(counts, np.int64), shape)
    return ops.Rle.from_string(counts, shape)
