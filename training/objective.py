"""The loss of one training image: which term falls on which map, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from training import baseline_losses, losses
from training.annotation import IGNORED, Zones, zones
from training.config import Config
from training.network import OUTPUT_NAMES
from training.pooling import image_logit
from training.schedule import LossTargets

ABNORMAL, MALIGNANT = (OUTPUT_NAMES.index(name) for name in ("abnormal", "malignant"))
# A crop must keep this share of the image's outlined pixels for the image's class to be asked of it.
KEPT_SHARE_FOR_CLASS = 0.3


class Pool(Protocol):
    """How a map's logits [P] over the breast become one image score; see training.pooling.image_logit."""

    def __call__(self, logits: Tensor, weights: Tensor, *, r: float, top_fraction: float) -> Tensor: ...


@dataclass(frozen=True)
class TrainingImage:
    """One augmented view and what is known of the image it was cut from.

    image, breast, labels: [h, w], see training.augment.random_view. outlined_px: pixels with a finding in the
    whole image at this view's scale. annotated: False if a lesion may lie where nobody drew one. pathology: where
    it is "unknown" the malignant map learns nothing. not_malignant: labels of a malignant image's other findings.
    """

    image: Tensor
    breast: Tensor
    labels: Tensor
    pathology: str
    outlined_px: float
    annotated: bool
    calcification_only: bool
    not_malignant: tuple[int, ...] = ()

    def to(self, device: torch.device) -> TrainingImage:
        """The view with its arrays on a device."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ("image", "breast", "labels")}
        return replace(self, **moved)

    def pin_memory(self) -> TrainingImage:
        """The view in memory that a GPU can copy from by itself."""
        return replace(self, **{name: getattr(self, name).pin_memory() for name in ("image", "breast", "labels")})


def image_loss(
    logits: Tensor, pooling_weights: Tensor, view: TrainingImage, *, progress: float, config: Config
) -> dict[str, Tensor]:
    """All weighted terms of one image at ``progress`` in 0..1 of the training; their sum is its loss.

    In the stages S1 and S2 the outlines are loose; in S3 they are what training.self_training made of them, and true,
    but for calcification clusters: those stay loose to the end.

    The abnormal map learns every outline. The malignant map learns the malignant outlines only; where there is
    none its A is empty, so that the strict penalty falls on the whole breast. In a malignant image it ignores the
    other outlines: they are no lesion to it, and the image's class does not depend on them.

    Args:
        logits: [2, h, w]. pooling_weights: [2, 3], see training.pooling.image_logit.
    """
    found = zones(view.labels, view.breast, ring_px=config.data.ring_mm / config.data.pixel_spacing_mm)
    if not bool(found.breast.any()):
        return {}
    map_terms, targets = _loose_outline_terms, config.loss.schedule.at(progress)
    if has_true_outlines(view, progress=progress, config=config):
        map_terms, targets = _true_outline_terms, config.loss.schedule.at(1.0)
    terms: dict[str, Tensor] = {}
    if view.annotated:
        terms |= map_terms(logits[ABNORMAL], found, view, targets, config, prefix="abnormal")
    if view.pathology != "unknown":
        seen = malignant_zones(found, view, config)
        terms |= map_terms(logits[MALIGNANT], seen, view, targets, config, prefix="malignant")
    terms |= class_terms(logits, pooling_weights, view, found, progress=progress, config=config)
    return terms


def has_true_outlines(view: TrainingImage, *, progress: float, config: Config) -> bool:
    """Whether the view's outlines are lesions found by S3, to be learnt as they are."""
    return config.is_self_training(progress) and not view.calcification_only


def malignant_zones(found: Zones, view: TrainingImage, config: Config) -> Zones:
    """The zones as the malignant map sees them; ``found``: of all outlines."""
    if view.pathology != "malignant":
        nothing, no_ring = torch.zeros_like(found.inside), torch.zeros_like(found.ring)
        return replace(found, lesions=(), inside=nothing, ring=no_ring, outside=found.breast)
    if not view.not_malignant:
        return found
    others = torch.isin(view.labels, torch.tensor(view.not_malignant, device=view.labels.device))
    labels = torch.where(others, torch.full_like(view.labels, IGNORED), view.labels)
    return zones(labels, view.breast, ring_px=config.data.ring_mm / config.data.pixel_spacing_mm)


def class_terms(
    logits: Tensor,
    pooling_weights: Tensor,
    view: TrainingImage,
    found: Zones,
    *,
    progress: float,
    config: Config,
    pool: Pool = image_logit,
) -> dict[str, Tensor]:
    """L_cls of both maps, where the view shows enough of the image to know its class.

    Args:
        logits: [2, h, w]. pooling_weights: [2, 3].
        pool: the image score from one map's logits over the breast and its pooling weights.
    """
    terms: dict[str, Tensor] = {}
    share = config.class_share(progress)
    if share == 0:
        return terms
    malignant, known = view.pathology == "malignant", view.pathology != "unknown"
    for name, index, weight, positive in (
        ("malignant", MALIGNANT, 1.0, malignant),
        ("abnormal", ABNORMAL, config.loss.abnormal_classification, view.outlined_px > 0),
    ):
        kept = float(found.inside.sum()) >= KEPT_SHARE_FOR_CLASS * view.outlined_px
        knowable = (not positive or kept) and (known if name == "malignant" else view.annotated)
        if knowable:
            score = pool(
                logits[index][found.breast],
                pooling_weights[index],
                r=config.pooling.lse_r,
                top_fraction=config.pooling.top_fraction,
            )
            terms[f"{name}/class"] = share * weight * losses.classification_loss(score, float(positive))
    return terms


def _loose_outline_terms(
    logits: Tensor, found: Zones, view: TrainingImage, targets: LossTargets, config: Config, *, prefix: str
) -> dict[str, Tensor]:
    top_fraction = targets.inside_top_fraction
    if view.calcification_only:
        top_fraction = config.loss.calcification_top_fraction
    terms = {
        "outside": targets.outside * losses.outside_loss(logits, found.outside),
        "hard": targets.hard_outside * losses.hard_outside_loss(logits, found.outside),
        "inside": targets.inside * losses.inside_bag_loss(logits, found.lesions, top_fraction=top_fraction),
    }
    if not view.calcification_only:
        terms["size"] = targets.size * losses.size_loss(
            logits, found.lesions, floor=targets.size_floor, ceiling=targets.size_ceiling
        )
    if targets.pairwise > 0:
        terms["pairwise"] = targets.pairwise * losses.pairwise_loss(logits, view.image, found.inside)
    if targets.sharpness > 0:
        terms["sharpness"] = targets.sharpness * losses.sharpness_loss(logits, found.breast)
    return {f"{prefix}/{name}": value for name, value in terms.items()}


def _true_outline_terms(
    logits: Tensor, found: Zones, view: TrainingImage, targets: LossTargets, config: Config, *, prefix: str
) -> dict[str, Tensor]:
    asked, kept = found.inside | found.ring | found.outside, config.loss.self_training
    values, truth = logits[asked], found.inside[asked]
    terms = {"bce": baseline_losses.cross_entropy_loss(values, truth)}
    if found.lesions:
        terms["dice"] = baseline_losses.dice_loss(values, truth)
    if (share := kept.self_training_inside) > 0:
        bag = losses.inside_bag_loss(logits, found.lesions, top_fraction=targets.inside_top_fraction)
        terms["inside"] = share * targets.inside * bag
    if (share := kept.self_training_strict) > 0:
        terms["outside"] = share * targets.outside * losses.outside_loss(logits, found.outside)
        terms["hard"] = share * targets.hard_outside * losses.hard_outside_loss(logits, found.outside)
    if targets.sharpness > 0:
        terms["sharpness"] = targets.sharpness * losses.sharpness_loss(logits, found.breast)
    return {f"{prefix}/{name}": value for name, value in terms.items()}
