"""The two datasets of the experiment: each image with its true outline and with a loose one, on a coarse grid.

CDD-CESM carries the radiologists' detailed outlines, which training.datasets.coarsen makes loose; the phantom's
lesions are known exactly. Every CDD-CESM image is taken through 512 pixels (see Note [Resampled images] in
training.prepare), so that resolution tells no class.

Note [Parts of the data]
``fit`` and ``tune`` are the train patients, parted by a hash of the patient: settings are chosen by training on
``fit`` and measuring on ``tune``. A reported run trains on both and is measured on ``held``: the validation
patients of CDD-CESM, and the validation and test patients of the phantom. No setting is chosen on ``held``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.datasets import cdd_cesm
from training.datasets.coarsen import coarsen_labels
from training.datasets.phantom import PhantomSettings
from training.datasets.phantom_set import INDEX, PhantomPlan, PhantomSet, write_phantom
from training.datasets.record import CaseLog, DatasetError, Record
from training.datasets.splits import hash_fraction
from training.prepare import Sample, read_pixels, to_grid

Part = Literal["fit", "tune", "held"]
OutlineKind = Literal["loose", "true"]
CACHE_VERSION = 1
COARSENING_SEED = 0
TUNE_FRACTION = 0.22
# Masses only: on a grid of a millimetre the phantom's calcifications are fainter than its noise. The breasts are small
# and the lesions stand out twice as far as in the default set: a CPU's few hundred steps are to be spent on where a
# lesion ends. (On large breasts, where lesions fill .6 % of a crop, BCE + Dice on the true outline predicted nothing.)
PHANTOM_PLAN = PhantomPlan(
    patients=150,
    seed=7,
    normal=0.2,
    calcifications=0.0,
    file_format="npy",
    settings=PhantomSettings(height=300, width=225, spacing_mm=0.4, lesion_contrast=2.0),
)


@dataclass(frozen=True)
class Case:
    """One image with both of its outlines.

    sample: its labels are the loose outlines. true_labels: int16 [H, W], the same numbers. part: see
    Note [Parts of the data].
    """

    sample: Sample
    true_labels: NDArray[np.int16]
    part: Part

    def with_outline(self, kind: OutlineKind) -> Sample:
        """What a training run sees: only the outlines of this kind."""
        return self.sample if kind == "loose" else replace(self.sample, labels=self.true_labels)


def load_cases(dataset: str, *, data: Path, cache: Path, spacing_mm: float) -> list[Case]:
    """All cases of ``cdd_cesm`` or ``phantom`` on a grid of ``spacing_mm``, cached under ``cache``.

    Args:
        dataset: which.
        data: the CDD-CESM folder; the phantom is drawn into ``cache`` and needs none.
        cache: folder for prepared arrays.
        spacing_mm: mm per pixel.
    """
    if dataset not in ("cdd_cesm", "phantom"):
        raise ValueError(f"dataset {dataset!r}; known: cdd_cesm, phantom")
    path = cache / f"{dataset}_{spacing_mm:g}mm.npz"
    if not path.is_file():
        cases = _cdd_cesm_cases(data, spacing_mm) if dataset == "cdd_cesm" else _phantom_cases(cache, spacing_mm)
        _write(path, list(cases))
    return _read(path)


def fingerprint(cases: Sequence[Case]) -> str:
    """A hash of every pixel and outline, so that a result names the data it came from."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(f"{case.sample.name} {case.sample.patient} {case.sample.pathology} {case.part}".encode())
        for array in (case.sample.image, case.sample.breast, case.sample.labels, case.true_labels):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _cdd_cesm_cases(root: Path, spacing_mm: float) -> Iterator[Case]:
    """Annotated images and normal ones; a benign image without an outline has no known truth and is left out."""
    skipped = CaseLog()
    records = cdd_cesm.read_records(root, skipped)
    for name, reason in skipped:
        raise DatasetError(f"{name}: {reason}; the experiment needs every image")
    for record in records:
        if record.mask_path is None and record.pathology != "normal":
            continue
        pixels, labels, source_mm = read_pixels(record, resampled=True)
        loose = coarsen_labels(labels, seed=COARSENING_SEED, name=record.name)
        image, breast, maps = to_grid(
            pixels, [loose, labels], source_mm=source_mm, spacing_mm=spacing_mm, name=record.name
        )
        part: Part = "held" if record.split == "val" else _part_of_train(record.patient)
        facts = (record.name, record.patient, record.pathology, record.split, record.folder)
        calcification = record.calcification_only
        yield _case(facts, image, breast, maps, part=part, spacing_mm=spacing_mm, calcification_only=calcification)


def _phantom_cases(cache: Path, spacing_mm: float) -> Iterator[Case]:
    plan = hashlib.sha256(repr(PHANTOM_PLAN).encode()).hexdigest()[:8]
    root = cache / f"phantom_{plan}"
    if not (root / INDEX).is_file():
        write_phantom(root, PHANTOM_PLAN)
    loose_set, true_set = PhantomSet(root, outlines="loose"), PhantomSet(root, outlines="exact")
    for record in loose_set:
        mammogram = loose_set.load(record)
        size, source_mm = mammogram.pixels.shape, PHANTOM_PLAN.settings.spacing_mm
        true = np.zeros(size, np.int16)
        masks = true_set.outline_masks(_same(true_set, record.name), size)
        for k, (_, mask) in enumerate(masks, start=1):
            true[mask] = k
        loose = np.zeros(size, np.int16)
        for k, (_, mask) in enumerate(loose_set.outline_masks(record, size), start=1):
            loose[mask & (loose == 0)] = k
        loose[true > 0] = true[true > 0]
        image, breast, maps = to_grid(
            mammogram.pixels, [loose, true], source_mm=source_mm, spacing_mm=spacing_mm, name=record.name
        )
        part: Part = _part_of_train(record.patient) if record.split == "train" else "held"
        facts = (record.name, record.patient, record.pathology, record.split, "phantom")
        yield _case(facts, image, breast, maps, part=part, spacing_mm=spacing_mm, calcification_only=False)


def _same(dataset: PhantomSet, name: str) -> Record:
    return next(record for record in dataset if record.name == name)


def _part_of_train(patient: str) -> Part:
    return "tune" if hash_fraction(patient, seed=1) < TUNE_FRACTION else "fit"


def _case(
    facts: tuple[str, str, str, str, str],
    image: NDArray[np.float32],
    breast: NDArray[np.bool_],
    maps: list[NDArray[np.int16]],
    *,
    part: Part,
    spacing_mm: float,
    calcification_only: bool,
) -> Case:
    name, patient, pathology, split, folder = facts
    loose, true = maps
    # A finding too small for the grid is not asked for: it stays in neither map.
    for k in np.unique(loose[loose > 0]):
        if not (true == k).any():
            loose[loose == k] = cdd_cesm.IGNORED
    true[~np.isin(true, loose)] = cdd_cesm.IGNORED
    sample = Sample(
        name=name,
        patient=patient,
        pathology=pathology,
        split=split,
        folder=folder,
        annotated=True,
        calcification_only=calcification_only,
        resampled=True,
        image=np.round(image * 255.0).astype(np.float32) / np.float32(255.0),  # as the cache holds it
        breast=breast,
        labels=loose,
        spacing_mm=spacing_mm,
    )
    return Case(sample, true, part)


def _write(path: Path, cases: Sequence[Case]) -> None:
    arrays: dict[str, NDArray[np.generic]] = {}
    facts = []
    for index, case in enumerate(cases):
        arrays[f"image{index}"] = np.round(case.sample.image * 255.0).astype(np.uint8)
        arrays[f"breast{index}"] = case.sample.breast
        arrays[f"loose{index}"] = case.sample.labels
        arrays[f"true{index}"] = case.true_labels
        named = {key: value for key, value in asdict(case.sample).items() if not isinstance(value, np.ndarray)}
        facts.append({"part": case.part, "sample": named})
    header = json.dumps({"version": CACHE_VERSION, "cases": facts})
    arrays["header"] = np.frombuffer(header.encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    temporary.rename(path)


def _read(path: Path) -> list[Case]:
    with np.load(path, allow_pickle=False) as arrays:
        header = json.loads(arrays["header"].tobytes())
        if header["version"] != CACHE_VERSION:
            raise ValueError(f"{path}: cache version {header['version']}, wanted {CACHE_VERSION}; delete it")
        return [
            Case(
                sample=Sample(
                    **{**facts["sample"], "not_malignant": ()},  # the classes of single outlines are not known
                    image=arrays[f"image{index}"].astype(np.float32) / np.float32(255.0),
                    breast=arrays[f"breast{index}"],
                    labels=arrays[f"loose{index}"],
                ),
                true_labels=arrays[f"true{index}"],
                part=facts["part"],
            )
            for index, facts in enumerate(header["cases"])
        ]
