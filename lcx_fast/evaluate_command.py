"""``lcx-fast evaluate``: predicted lesions against reference lesions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import let_interrupts_unwind, say
from .errors import InvalidArgument
from .files import sweep_parts, write_together

if TYPE_CHECKING:
    from .evaluation.annotated import AnnotatedImage
    from .evaluation.coco import CocoResult
    from .evaluation.lesions import ImageResult


def add_parser(commands: Any) -> None:
    """Add the command to ``lcx-fast``'s grammar."""
    parser = commands.add_parser(
        "evaluate",
        help="compare predicted lesions with reference lesions",
        description="Compare predicted lesions with reference lesions. Images are matched by file name without ending.",
        epilog="Exit codes: 0 compared, 2 bad input or a missing library.",
    )
    parser.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS", help="COCO JSON, a folder of `lcx-fast infer`, or of mask PNGs"
    )
    parser.add_argument("reference", type=Path, metavar="REFERENCE", help="likewise")
    parser.add_argument("--iou-type", default="segm", choices=("segm", "bbox"), help="masks (default) or boxes")
    parser.add_argument("--froc", action="store_true", help="add FROC figures: by lesion, image, class and size")
    parser.add_argument("--json", action="store_true", help="print one JSON document in the table's place")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots into this folder (needs matplotlib)")
    parser.add_argument("--pixel-spacing", type=float, metavar="MM", help="pixel side in mm, for lesion sizes")
    parser.add_argument("--draws", type=int, default=2000, metavar="N", help="bootstrap resamples (default: 2000)")


def run(arguments: argparse.Namespace) -> int:
    """``lcx-fast evaluate``."""
    from .evaluation.annotated import compare_images
    from .evaluation.inputs import read_predictions, read_reference
    from .evaluation.summary import summarise, table

    let_interrupts_unwind()
    if arguments.draws < 1:
        raise InvalidArgument(f"--draws {arguments.draws}; needed: at least 1")
    if arguments.plots is not None:
        from .evaluation.plots import require_matplotlib

        require_matplotlib()
    reference = read_reference(arguments.reference)
    predictions = read_predictions(arguments.predictions, arguments.reference)
    check_names(predictions, reference)
    if arguments.pixel_spacing is not None:
        if not 1e-3 <= arguments.pixel_spacing <= 10:
            raise InvalidArgument(f"--pixel-spacing {arguments.pixel_spacing:g}; accepted: 0.001 to 10 mm")
        area = arguments.pixel_spacing**2
        reference = {name: replace(image, pixel_area_mm2=area) for name, image in reference.items()}
    results = compare_images(predictions, reference, iou_type=arguments.iou_type)
    check_scores(results)
    check_candidates(predictions)
    scores = image_scores(predictions, results)
    summary = summarise(
        results, masks=arguments.iou_type == "segm", froc=arguments.froc, image_scores=scores, draws=arguments.draws
    )
    coco = coco_result(arguments, predictions, reference)
    summary = replace(summary, coco=coco.stats)
    if arguments.json:
        print(json.dumps(summary.to_dict(), indent=1, allow_nan=False))
    else:
        print(coco.summary() + "\n\n" + table(summary))
    if arguments.plots is not None:
        for path in write_plots(results, scores, arguments.plots):
            say(str(path))
    return 0


def coco_result(
    arguments: argparse.Namespace,
    predictions: Mapping[str, AnnotatedImage],
    reference: Mapping[str, AnnotatedImage],
) -> CocoResult:
    """COCO's twelve figures: of COCO files by category, as COCO's own tools have it; of others of lesions as such."""
    from .evaluation.annotated import coco_objects
    from .evaluation.coco import CocoEvaluator
    from .evaluation.inputs import is_coco_pair

    if is_coco_pair(arguments.predictions, arguments.reference):
        evaluator = CocoEvaluator(arguments.reference, iou_type=arguments.iou_type)
        return evaluator.evaluate(arguments.predictions)
    dataset, results = coco_objects(predictions, reference)
    return CocoEvaluator(dataset, iou_type=arguments.iou_type).evaluate(results)


def check_names(predictions: Mapping[str, AnnotatedImage], reference: Mapping[str, AnnotatedImage]) -> None:
    """Say which images have no partner.

    Raises:
        InvalidArgument: if none has, which is a mistake of the caller's.
    """
    if not reference:
        raise InvalidArgument("the reference holds no images")
    missing = [name for name in reference if name not in predictions]
    unknown = [name for name in predictions if name not in reference]
    if len(missing) == len(reference):
        raise InvalidArgument(
            f"no prediction belongs to any of the {len(reference)} reference images; images are matched by name, "
            f"for instance {missing[0]!r}" + (f"; a predicted one is {unknown[0]!r}" if unknown else "")
        )
    if missing:
        say(
            f"warning: {len(missing)} of {len(reference)} reference images have no prediction, for instance "
            f"{missing[0]!r}; they count as images without detections"
        )
    if unknown:
        say(f"warning: {len(unknown)} predicted images are not in the reference, for instance {unknown[0]!r}; left out")


def check_scores(results: Sequence[ImageResult]) -> None:
    """Say if nothing ranks the detections, as with masks."""
    scores = [float(score) for result in results for score in result.scores]
    if len(scores) > 1 and len(set(scores)) == 1:
        say(
            f"warning: all {len(scores)} detections have the same score, so there is one threshold only; COCO's "
            "figures go through equal scores in the order of the images"
        )


def check_candidates(predictions: Mapping[str, AnnotatedImage]) -> None:
    """Say if reports left candidates out, for then AP and FROC end at their operating point."""
    left_out = sum(image.left_out for image in predictions.values())
    if left_out:
        say(
            f"warning: the reports leave out {left_out} candidates below their operating point, so AP and FROC end "
            "there; `lcx-fast infer --operating-point all` reports every one"
        )


def image_scores(predictions: Mapping[str, AnnotatedImage], results: Sequence[ImageResult]) -> list[float]:
    """An image's own score where the predictions have one, else its highest lesion score, else 0."""
    scores = []
    for result in results:
        image = predictions.get(result.name)
        if image is not None and image.score is not None:
            scores.append(image.score)
        else:
            scores.append(float(result.scores[0]) if len(result.scores) else 0.0)
    return scores


def write_plots(results: Sequence[ImageResult], scores: Sequence[float], folder: Path) -> list[Path]:
    """Write FROC, precision-recall and ROC pictures; returns their paths."""
    from .evaluation import plots
    from .evaluation.matches import match_lesions
    from .evaluation.summary import FROC_MINIMUM_IOU

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"{folder}: cannot be made a folder ({error.strerror})") from error
    positive = [bool(len(result.reference_areas)) for result in results]
    loose = match_lesions(results, minimum=FROC_MINIMUM_IOU)
    figures = {
        "froc": plots.froc_figure({f"hit: IoU ≥ {FROC_MINIMUM_IOU:g}": loose}),
        "precision_recall": plots.detection_figure(
            {f"IoU ≥ {least:g}": match_lesions(results, minimum=least) for least in (FROC_MINIMUM_IOU, 0.5)}
        ),
        "roc": plots.roc_figure({"image score": (scores, positive)}, title="ROC: images with a lesion"),
    }
    sweep_parts(folder)
    contents = {folder / f"{name}.png": plots.figure_bytes(figure) for name, figure in figures.items()}
    write_together(contents)
    return list(contents)
