"""Stage S3, self-training: lesions found inside the loose outlines become the outlines that are learnt from.

After S1 and S2 the averaged network is asked once about every training image. Within each outline three things speak
for a pixel: what the network says, how much brighter it is than the surroundings lead one to expect (a lesion is denser
than the tissue it lies in), and how deep inside the outline it lies (who draws loosely still draws around the lesion).
Their weighted sum is cut in two by Otsu's threshold; the upper part is the lesion, the rest of the outline is
background. Training labels made from an image's own grey values within a coarse annotation: Khoreva et al. 2017,
"Simple does it: weakly supervised instance and semantic segmentation" (GrabCut in boxes there); the three terms and
their weights are ours, found on the experiment's training patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from training.harmonic import harmonic_continuation
from training.prepare import Sample

#: Grey values are smoothed by this before they count as evidence.
SMOOTHING_MM = 0.5
#: Probabilities count no further than this from 0 and 1.
_LEAST_PROBABILITY = 1e-4
_OTSU_BINS = 128
#: An outline of fewer pixels is taken as it is.
_LEAST_PIXELS = 8

Predictor = Callable[[Sample], NDArray[np.float32]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SelfTraining:
    """When stage S3 starts, and what it believes.

    self_training_from: share of the training before it; 1 means never. self_training_inside, self_training_strict,
    self_training_class: share of its weight that the loose inside term, the strict penalty and the classification
    term keep; above 1 it grows (measured: training/experiments/README.md). The first counts every lesion alike, where
    BCE and Dice count pixels, so that small lesions are found. The class has been learnt by then, and its gradient,
    which falls on the strongest pixels of the maps, keeps them from following a boundary. evidence_*: weights of what
    speaks for a pixel of an outline, each counted in standard deviations within the outline: the network's logit, the
    grey value's excess over the surroundings', the distance to the outline's edge. All weights 0 say that the outlines
    are the lesions already.
    """

    self_training_from: float
    self_training_inside: float
    self_training_strict: float
    self_training_class: float
    evidence_network: float
    evidence_contrast: float
    evidence_depth: float

    @property
    def weights(self) -> tuple[float, float, float]:
        return self.evidence_network, self.evidence_contrast, self.evidence_depth


def lesion_labels(sample: Sample, probability: NDArray[np.float32], settings: SelfTraining) -> NDArray[np.int16]:
    """The sample's outlines replaced by the lesions found in them.

    Outlines of calcification clusters stay: they hold specks, not one dense part (see training.objective).

    Args:
        sample: labels k > 0 are its loose outlines.
        probability: float32 [H, W], the abnormal map.
        settings: the weights.

    Returns:
        int16 [H, W]: k where lesion k is, the sample's negative labels where they are, 0 elsewhere.
    """
    labels = sample.labels
    if _keeps_outlines(sample, settings):
        return labels
    brightness = _smoothed(sample.image, sample.breast, sigma=SMOOTHING_MM / sample.spacing_mm)
    p = np.clip(probability.astype(np.float64), _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
    logits = np.log(p) - np.log1p(-p)
    result = np.where(labels < 0, labels, 0).astype(np.int16)
    for k in np.unique(labels[labels > 0]):
        outline = (labels == k) & sample.breast
        if np.count_nonzero(outline) < _LEAST_PIXELS:
            result[labels == k] = k
            continue
        contrast = brightness - harmonic_continuation(brightness, outline, sample.breast)
        seen = [_standardised(values, outline) for values in (logits, contrast, _depth(outline))]
        total: Floats = np.tensordot(settings.weights, seen, axes=1)
        result[_largest_part(outline & (total > otsu_threshold(total[outline]))) & outline] = k
    return result


def relabelled(samples: Sequence[Sample], predictor: Predictor, settings: SelfTraining, path: Path) -> list[Sample]:
    """The samples with ``lesion_labels``, kept in ``path`` so that a resumed run goes on with the same ones."""
    if not any(settings.weights):
        return list(samples)
    if not path.is_file():
        maps = {
            f"labels{i}": s.labels if _keeps_outlines(s, settings) else lesion_labels(s, predictor(s), settings)
            for i, s in enumerate(samples)
        }
        temporary = path.with_suffix(".tmp.npz")
        np.savez_compressed(temporary, **maps)  # type: ignore[arg-type]
        temporary.rename(path)
    with np.load(path, allow_pickle=False) as arrays:
        return [replace(sample, labels=arrays[f"labels{i}"]) for i, sample in enumerate(samples)]


def _keeps_outlines(sample: Sample, settings: SelfTraining) -> bool:
    """Whether there is nothing to look for, so that the network need not be asked."""
    return not any(settings.weights) or sample.calcification_only or not bool((sample.labels > 0).any())


def otsu_threshold(values: Floats) -> float:
    """The value that parts ``values`` [N] into two classes of greatest variance between them (Otsu 1979).

    From a histogram of 128 bins; values that are all equal give that value, so that none lies above it.
    """
    counts, edges = np.histogram(values, _OTSU_BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = np.cumsum(counts), float(len(values))
    sums = np.cumsum(counts * centres)
    both = (below > 0) & (below < total)
    if not both.any():
        return float(values.max())
    above = np.where(both, total - below, 1.0)
    between = np.where(both, (sums[-1] * below / total - sums) ** 2 / (np.maximum(below, 1) * above), -1.0)
    return float(edges[1:][between.argmax()])


def _smoothed(image: NDArray[np.float32], breast: NDArray[np.bool_], *, sigma: float) -> Floats:
    """Gaussian mean over the pixels of the breast only."""
    weight = ndimage.gaussian_filter(breast.astype(np.float64), sigma)
    smooth: Floats = ndimage.gaussian_filter(np.where(breast, image, 0.0).astype(np.float64), sigma)
    smooth /= np.maximum(weight, 1e-3)
    return smooth


def _depth(outline: NDArray[np.bool_]) -> Floats:
    """Distance to the nearest pixel outside; the image's border counts as outside."""
    distance: Floats = ndimage.distance_transform_edt(np.pad(outline, 1))[1:-1, 1:-1]
    return distance


def _standardised(values: Floats, outline: NDArray[np.bool_]) -> Floats:
    inside = values[outline]
    spread = float(inside.std())
    return (values - inside.mean()) / spread if spread > 0 else np.zeros_like(values)


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 4-connected part, its holes filled; empty stays empty."""
    parts, count = ndimage.label(ndimage.binary_fill_holes(mask))
    if count == 0:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = parts == sizes.argmax()
    return largest
