"""Stage S3, self-training: the network's own lesions inside the outlines become the outlines.

After S1 and S2 the averaged network is asked once about every training image. Inside A a pixel is lesion where
p is high, background where p is low, ignored between; outside A everything stays background. METHOD.md's first
form took p > .8 as lesion and ignored the rest of A; the levels here are the measured ones, see README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from training.annotation import IGNORED
from training.prepare import Sample

LESION_ABOVE, BACKGROUND_BELOW = 0.5, 0.3
# An outline holds a lesion: at least this share of it, its most probable pixels.
LEAST_SHARE = 0.15

Predictor = Callable[[Sample], NDArray[np.float32]]


def pseudo_labels(labels: NDArray[np.int16], probability: NDArray[np.float32]) -> NDArray[np.int16]:
    """Outlines replaced by what the network found in them.

    Args:
        labels: int16 [H, W]; k > 0 the loose outline k.
        probability: float32 [H, W], the abnormal map.

    Returns:
        int16 [H, W]: k where lesion k is, IGNORED where the network is undecided, 0 elsewhere.
    """
    result = np.where(labels < 0, labels, 0).astype(np.int16)
    for k in np.unique(labels[labels > 0]):
        outline = labels == k
        values = probability[outline]
        level = min(LESION_ABOVE, float(np.quantile(values, 1.0 - LEAST_SHARE)))
        lesion = outline & (probability >= level)
        lesion = ndimage.binary_fill_holes(lesion) & outline
        undecided = outline & ~lesion & (probability > min(BACKGROUND_BELOW, level))
        result[undecided] = IGNORED
        result[lesion] = k
    return result


def relabelled(samples: Sequence[Sample], predictor: Predictor, path: Path) -> list[Sample]:
    """The samples with pseudo labels, kept in ``path`` so that a resumed run goes on with the same ones."""
    if not path.is_file():
        maps = {f"labels{i}": pseudo_labels(s.labels, predictor(s)) for i, s in enumerate(samples)}
        temporary = path.with_suffix(".tmp.npz")
        np.savez_compressed(temporary, **maps)  # type: ignore[arg-type]
        temporary.rename(path)
    with np.load(path, allow_pickle=False) as arrays:
        return [replace(sample, labels=arrays[f"labels{i}"]) for i, sample in enumerate(samples)]
