"""Which runs make up the experiment, in the order in which they are worth having."""

from __future__ import annotations

from collections.abc import Sequence

from training.experiments.arms import Arm
from training.experiments.runs import Run

MAIN_ARMS = ("coarse_bce_dice", "method", "detailed_bce_dice")
BASELINE_ARMS = ("brightness", "gce_dice", "boxinst")
SWEEP_ARMS = ("floor_15", "method", "floor_55", "floor_70")  # the method's own floor is .40
SELF_TRAINING_ARMS = (
    "no_self_training",
    "no_depth",
    "no_contrast",
    "network_alone",
    "fifth_classification",
    "full_classification",
    "strict_self_training",
)
ABLATION_ARMS = (
    "no_strict_penalty",
    "no_size_floor",
    "no_pairwise",
    "no_classification",
    *SELF_TRAINING_ARMS,
    "no_inside_self_training",
    "log_barrier",
    "generalised_mean",
)
# The phantom's S3 has none of the loose inside term, so that its ablation there is to put it in.
PHANTOM_ABLATION_ARMS = (*SELF_TRAINING_ARMS, "inside_self_training")
SEEDS = (1, 2, 3)


def suite_runs(suite: str, arms: dict[str, Arm], *, seeds: Sequence[int] = SEEDS) -> list[Run]:
    """The runs of a suite; all arms of a seed before the next seed, so that what is done can be compared.

    Args:
        suite: ``main`` (CDD-CESM, the three arms), ``phantom`` (the same on the phantom), ``baselines`` (both
            sets, first seed), ``sweep`` and ``ablations`` (CDD-CESM, first seed; those of S3 on the phantom, too),
            or ``all``.
        arms: by name.
        seeds: of the main arms; the other suites take the first.

    Raises:
        ValueError: for another suite.
    """
    main, first = tuple(seeds), tuple(seeds[:1])
    plans: dict[str, tuple[tuple[str, tuple[str, ...], tuple[int, ...]], ...]] = {
        "main": (("cdd_cesm", ("brightness",), first), ("cdd_cesm", MAIN_ARMS, main)),
        "phantom": (("phantom", ("brightness",), first), ("phantom", MAIN_ARMS, main)),
        "baselines": (("cdd_cesm", BASELINE_ARMS, first), ("phantom", BASELINE_ARMS, first)),
        "sweep": (("cdd_cesm", SWEEP_ARMS, first),),
        "ablations": (("cdd_cesm", ABLATION_ARMS, first), ("phantom", PHANTOM_ABLATION_ARMS, first)),
    }
    plans["all"] = tuple(
        plan for name in ("main", "phantom", "sweep", "baselines", "ablations") for plan in plans[name]
    )
    if suite not in plans:
        raise ValueError(f"suite {suite!r}; known: {', '.join(plans)}")
    runs = [
        Run(dataset, arms[name], seed) for dataset, names, chosen in plans[suite] for seed in chosen for name in names
    ]
    return list({(run.dataset, run.name): run for run in runs}.values())
