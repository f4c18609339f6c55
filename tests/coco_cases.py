"""Random COCO datasets, and pycocotools' evaluation of them."""

from __future__ import annotations

import contextlib
import copy
import io

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def random_mask(rng, height, width):
    """A blob, seldom nothing."""
    mask = np.zeros((height, width), np.uint8)
    if rng.random() < 0.9:
        y, x = rng.integers(0, height), rng.integers(0, width)
        radius = rng.integers(1, max(2, min(height, width) // 2))
        yy, xx = np.indices(mask.shape)
        mask[(yy - y) ** 2 + (xx - x) ** 2 < radius**2] = 1
    return mask


def random_polygon(rng, height, width):
    centre = rng.random(2) * [width, height]
    angles = np.sort(rng.random(int(rng.integers(3, 9)))) * 2 * np.pi
    radius = rng.random() * max(height, width) / 2
    return (centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)).ravel().tolist()


def compressed(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def random_segmentation(rng, height, width, crowd):
    kind = rng.random()
    if kind < 0.4 and not crowd:
        return [random_polygon(rng, height, width) for _ in range(rng.integers(1, 3))]
    mask = random_mask(rng, height, width)
    if kind < 0.6:
        from reference_overlaps import rle_counts

        return {"size": [height, width], "counts": rle_counts(mask)}
    return compressed(mask)


def box_of(segmentation, height, width):
    rle = segmentation
    if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
        rle = coco_mask.merge(rle) if isinstance(rle, list) else rle
    return coco_mask.toBbox(rle).tolist(), float(coco_mask.area(rle))


def random_dataset(rng, *, images=6, categories=3, per_image=4, segm=False, crowds=0.15, ties=True, scale=1.0):
    """(reference, predictions): boxes jittered from references, some of them far off, scores that tie."""
    shapes = {i: (int(rng.integers(8, 50)), int(rng.integers(8, 50))) for i in range(images)}
    ids = (rng.permutation(10 * images)[:images] + 1).tolist()
    reference = {
        "info": {"description": 'a "test" \\ with é'},
        "images": [
            {"id": ids[i], "height": h, "width": w, "file_name": f"{i}.png", "coco_url": None}
            for i, (h, w) in shapes.items()
        ],
        "categories": [{"id": 7 * k + 2, "name": f"kind {k}", "supercategory": "x"} for k in range(categories)],
        "annotations": [],
    }
    predictions = []

    def category():
        return 7 * int(rng.integers(categories)) + 2

    for i, (height, width) in shapes.items():
        for _ in range(rng.integers(0, per_image + 1)):
            crowd = int(rng.random() < crowds)
            annotation = {"id": len(reference["annotations"]) + 1, "image_id": ids[i], "category_id": category()}
            annotation["iscrowd"] = crowd
            if segm:
                annotation["segmentation"] = random_segmentation(rng, height, width, crowd)
                annotation["bbox"], annotation["area"] = box_of(annotation["segmentation"], height, width)
            else:
                x, y = rng.integers(0, width), rng.integers(0, height)
                w, h = rng.integers(1, width + 1), rng.integers(1, height + 1)
                annotation["bbox"] = [float(v) * scale for v in (x, y, w, h)]
                annotation["area"] = float(w * h) * scale**2 * rng.choice([1, 1, 0.5])
            reference["annotations"].append(annotation)
            for _ in range(rng.integers(0, 3)):
                predictions.append(similar(rng, annotation, height, width, category, segm=segm))
        for _ in range(rng.integers(0, 3)):
            other = {"image_id": ids[i], "category_id": category()}
            if segm:
                other["segmentation"] = compressed(random_mask(rng, height, width))
            else:
                other["bbox"] = [float(v) * scale for v in rng.integers(0, 20, 4)]
            predictions.append(other)
    for prediction in predictions:
        prediction["score"] = float(rng.choice([0.1, 0.5, 0.5, 0.9])) if ties else float(rng.random())
    order = rng.permutation(len(predictions))
    return reference, [predictions[k] for k in order]


def similar(rng, annotation, height, width, category, *, segm):
    """A prediction near an annotation, mostly of its category."""
    found = {"image_id": annotation["image_id"]}
    found["category_id"] = annotation["category_id"] if rng.random() < 0.9 else category()
    if segm:
        rle = annotation["segmentation"]
        if isinstance(rle, list) or isinstance(rle["counts"], list):
            rle = coco_mask.frPyObjects(rle, height, width)
            rle = coco_mask.merge(rle) if isinstance(rle, list) else rle
        mask = np.roll(coco_mask.decode(rle), rng.integers(-1, 2, 2), (0, 1))
        found["segmentation"] = compressed(np.asfortranarray(mask))
    else:
        jitter = rng.integers(-1, 2, 4) * (rng.random() < 0.6)
        found["bbox"] = (np.array(annotation["bbox"]) + jitter).tolist()
    return found


def pycocotools_result(reference, predictions, iou_type, **parameters):
    """COCOeval after accumulate and summarize."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(reference)
        coco.createIndex()
        if predictions:
            results = coco.loadRes(copy.deepcopy(predictions))
        else:
            results = COCO()
            results.dataset = {"images": reference["images"], "annotations": [], "categories": reference["categories"]}
            results.createIndex()
        evaluation = COCOeval(coco, results, iou_type)
        for name, value in parameters.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
        text = io.StringIO()
        if len(evaluation.params.maxDets) >= 3:
            with contextlib.redirect_stdout(text):
                evaluation.summarize()
    return evaluation, text.getvalue()
