"""What changes while training runs: the learning rate, and the stages S1 (localise) and S2 (tighten)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LossTargets:
    """Where the loss stands at one moment of the training."""

    inside_top_fraction: float
    size_floor: float
    size_ceiling: float
    outside: float
    hard_outside: float
    inside: float
    size: float
    pairwise: float
    sharpness: float


@dataclass(frozen=True)
class LossSchedule:
    """Start and end values of the loss, and when to move from one to the other.

    S1 holds the start values until ``tighten_from`` (a fraction of the training), S2 moves linearly to the
    end values, reached at ``tighten_until``. The strict penalty starts at ``outside_start`` of its weight.
    """

    size_ceiling: float
    outside: float
    hard_outside: float
    inside: float
    size: float
    pairwise: float
    sharpness: float
    inside_top_fraction_start: float
    inside_top_fraction: float
    size_floor_start: float
    size_floor: float
    outside_start: float
    tighten_from: float
    tighten_until: float
    pairwise_from: float
    sharpness_from: float

    def at(self, progress: float) -> LossTargets:
        """The targets at ``progress`` in 0..1."""
        t = ramp(progress, start=self.tighten_from, stop=self.tighten_until)
        strict = self.outside_start + t * (1.0 - self.outside_start)
        return LossTargets(
            inside_top_fraction=_between(self.inside_top_fraction_start, self.inside_top_fraction, t),
            size_floor=_between(self.size_floor_start, self.size_floor, t),
            size_ceiling=self.size_ceiling,
            outside=self.outside * strict,
            hard_outside=self.hard_outside * strict,
            inside=self.inside,
            size=self.size,
            pairwise=self.pairwise * ramp(progress, start=self.pairwise_from, stop=1.0),
            sharpness=self.sharpness * ramp(progress, start=self.sharpness_from, stop=1.0),
        )


def ramp(progress: float, *, start: float, stop: float) -> float:
    """0 before ``start``, 1 after ``stop``, linear between."""
    if stop <= start:
        return float(progress >= start)
    return min(1.0, max(0.0, (progress - start) / (stop - start)))


def learning_rate(step: int, *, steps: int, peak: float, warmup_steps: int, final_fraction: float = 0.02) -> float:
    """Linear warm-up to ``peak``, then half a cosine down to ``final_fraction`` of it (SGDR, 2017)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    t = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * (final_fraction + (1.0 - final_fraction) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, t))))


def _between(start: float, stop: float, t: float) -> float:
    return start + t * (stop - start)
