"""The loss of one training view under each arm; the network, the views and the steps are the same for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from training import baseline_losses, losses
from training.annotation import IGNORED, Zones, zones
from training.config import Config
from training.experiments.arms import Arm
from training.objective import ABNORMAL, MALIGNANT, Pool, TrainingImage, class_terms, has_true_outlines, image_loss
from training.pooling import generalised_mean_logit, image_logit

# The barrier's t at the start and at the end of the training, growing by equal factors between.
_BARRIER_SHARPNESS = (5.0, 50.0)
_POOLS: dict[str, Pool] = {"lse": image_logit, "gem": generalised_mean_logit}


def arm_loss(
    logits: Tensor, pooling_weights: Tensor, view: TrainingImage, *, arm: Arm, config: Config, progress: float
) -> dict[str, Tensor]:
    """The weighted terms of one view; their sum is its loss.

    Args:
        logits: [2, h, w], abnormal then malignant.
        pooling_weights: [2, 3].
        view: with this arm's outlines.
        arm: which loss.
        config: with the arm's changes.
        progress: 0..1.
    """
    if not bool(view.breast.any()):
        return {}
    if arm.objective == "method":
        return _method(logits, pooling_weights, view, arm, config, progress)
    term = {"bce_dice": _bce_dice, "gce_dice": _gce_dice, "box": _box}[arm.objective]
    return _both_maps(logits, view, term)


def _method(
    logits: Tensor,
    pooling_weights: Tensor,
    view: TrainingImage,
    arm: Arm,
    config: Config,
    progress: float,
) -> dict[str, Tensor]:
    """training/METHOD.md's loss, with the arm's piece of it exchanged or left out."""
    terms = image_loss(logits, pooling_weights, view, progress=progress, config=config)
    if arm.strict != "penalty":
        terms = {name: value for name, value in terms.items() if not name.endswith(("/outside", "/hard"))}
    if arm.strict == "barrier" and not has_true_outlines(view, progress=progress, config=config):
        low, high = _BARRIER_SHARPNESS
        sharpness = low * (high / low) ** progress
        terms |= _both_maps(
            logits,
            view,
            lambda z, found, _: {
                "barrier": baseline_losses.outside_barrier_loss(z, found.outside, sharpness=sharpness)
            },
            ring_px=config.data.ring_mm / config.data.pixel_spacing_mm,
        )
    if not arm.classify or arm.pooling != "lse":
        terms = {name: value for name, value in terms.items() if not name.endswith("/class")}
    if arm.classify and arm.pooling != "lse":
        found = zones(view.labels, view.breast, ring_px=config.data.ring_mm / config.data.pixel_spacing_mm)
        pool = _POOLS[arm.pooling]
        terms |= class_terms(logits, pooling_weights, view, found, progress=progress, config=config, pool=pool)
    return terms


_Term = Callable[[Tensor, Zones, TrainingImage], dict[str, Tensor]]


def _both_maps(logits: Tensor, view: TrainingImage, term: _Term, *, ring_px: float = 0.0) -> dict[str, Tensor]:
    """One term on the abnormal map with every outline, on the malignant map with those of malignant images."""
    found = zones(view.labels, view.breast, ring_px=ring_px)
    nothing = replace(
        found,
        lesions=(),
        inside=torch.zeros_like(found.inside),
        ring=torch.zeros_like(found.ring),
        outside=found.breast,
    )
    malignant = found if view.pathology == "malignant" else nothing
    terms = {f"abnormal/{name}": value for name, value in term(logits[ABNORMAL], found, view).items()}
    return terms | {f"malignant/{name}": value for name, value in term(logits[MALIGNANT], malignant, view).items()}


def _bce_dice(logits: Tensor, found: Zones, view: TrainingImage) -> dict[str, Tensor]:
    """The outline as truth: BCE over the breast, Dice where there is an outline."""
    asked = found.breast & (view.labels != IGNORED)
    values, target = logits[asked], found.inside[asked]
    terms = {"bce": baseline_losses.cross_entropy_loss(values, target)}
    if found.lesions:
        terms["dice"] = baseline_losses.dice_loss(values, target)
    return terms


def _gce_dice(logits: Tensor, found: Zones, view: TrainingImage) -> dict[str, Tensor]:
    """The same with generalised cross entropy in the place of BCE."""
    asked = found.breast & (view.labels != IGNORED)
    values, target = logits[asked], found.inside[asked]
    terms = {"gce": baseline_losses.generalised_cross_entropy_loss(values, target)}
    if found.lesions:
        terms["dice"] = baseline_losses.dice_loss(values, target)
    return terms


def _box(logits: Tensor, found: Zones, view: TrainingImage) -> dict[str, Tensor]:
    """BoxInst on the outlines' bounding boxes: projection, pairwise affinity, and nothing outside the boxes."""
    boxes = torch.zeros_like(found.inside)
    for lesion in found.lesions:
        boxes |= baseline_losses.box_mask(lesion)
    boxes &= found.breast
    terms = {"outside": losses.outside_loss(logits, found.breast & ~boxes & (view.labels != IGNORED))}
    if found.lesions:
        terms["projection"] = baseline_losses.projection_loss(logits, boxes)
        terms["pairwise"] = losses.pairwise_loss(logits, view.image, boxes)
    return terms
