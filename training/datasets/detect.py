"""Which dataset a folder holds, and opening it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path

from .record import Dataset, DatasetError

#: What to look for at most: enough to know a set, few enough for a folder of a million files.
_LOOK_AT = 200_000
#: Formats whose split does not depend on a seed.
_OWN_SPLIT = ("cdd-cesm", "phantom", "phantom-loose")


def open_dataset(path: Path, *, format_name: str | None = None, seed: int = 0) -> Dataset:
    """Open the dataset in a folder (or a COCO file).

    Args:
        path: of the folder.
        format_name: one of ``FORMATS``; by what the folder holds if None.
        seed: of the split by patient, where the set has none of its own.

    Raises:
        DatasetError: if there is nothing there, the layout is not known, or it is broken as a whole.
    """
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder")
    name = format_name or detect(path)
    if name not in FORMATS:
        raise DatasetError(f"format {name!r}; known: {', '.join(FORMATS)}")
    module, reader = FORMATS[name]
    opener: Callable[..., Dataset] = getattr(import_module(f"{__package__}.{module}"), reader)
    return opener(path) if name in _OWN_SPLIT else opener(path, seed=seed)


def detect(path: Path) -> str:
    """The name of the format a folder is in, by the files that only this set has.

    Raises:
        DatasetError: if none or several fit.
    """
    from .coco import find_coco
    from .inbreast import is_image_name
    from .via import find_via

    if path.is_file():
        if path.suffix.lower() == ".json":
            return "coco"
        raise DatasetError(f"{path}: a dataset is a folder, or a COCO .json file")
    top = {entry.name.lower() for entry in path.iterdir()}
    if "phantom.json" in top:
        return "phantom"
    if {"resized512.csv", "native.csv"} <= top:
        return "cdd-cesm"
    found = set()
    for name in islice(_names(path), _LOOK_AT):
        lowered = name.lower()
        if lowered.endswith(".ics"):
            found.add("ddsm")
        elif "case_description" in lowered and lowered.endswith(".csv"):
            found.add("cbis-ddsm")
        elif lowered == "finding_annotations.csv":
            found.add("vindr-mammo")
        elif lowered.startswith("mdb") and lowered.endswith(".pgm"):
            found.add("mias")
        elif is_image_name(name):
            found.add("inbreast")
    if not found and find_via(path):
        found.add("via")
    if not found and find_coco(path):
        found.add("coco")
    if len(found) != 1:
        what = f"more than one layout ({', '.join(sorted(found))})" if found else "no known layout"
        raise DatasetError(f"{path}: {what}; name it (--format, --dataset): {', '.join(FORMATS)}")
    return found.pop()


def _names(path: Path) -> Iterator[str]:
    for _, _, names in os.walk(path):
        yield from names


#: Module and class of each format's reader; imported on use.
FORMATS: dict[str, tuple[str, str]] = {
    "ddsm": ("ddsm", "Ddsm"),
    "cbis-ddsm": ("cbis_ddsm", "CbisDdsm"),
    "cdd-cesm": ("cdd_cesm_set", "CddCesm"),
    "inbreast": ("inbreast", "Inbreast"),
    "vindr-mammo": ("vindr_mammo", "VindrMammo"),
    "mias": ("mias", "Mias"),
    "coco": ("coco", "Coco"),
    "via": ("via", "Via"),
    "phantom": ("phantom_set", "PhantomSet"),
    "phantom-loose": ("phantom_set", "LoosePhantomSet"),
}
