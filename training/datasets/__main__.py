"""``python -m training.datasets check PATH`` and ``python -m training.datasets phantom PATH``.

Exit codes: 0 done, 2 bad input. Cases that were left out are told and counted; they are no reason for 2 unless
nothing is left.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from lcx_fast.console import ProgressLine

from .detect import FORMATS, open_dataset
from .record import Dataset, DatasetError
from .splits import check_disjoint
from .summary import problems, summarize


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _check(options) if options.command == "check" else _phantom(options)
    except (DatasetError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.datasets", description="Datasets for training.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="tell what a dataset holds and what is wrong with it")
    check.add_argument("path", type=Path, metavar="PATH", help="folder of the dataset, or a COCO .json file")
    check.add_argument("--format", choices=list(FORMATS), help="layout; found out if not given")
    check.add_argument("--seed", type=int, default=0, help="of the split by patient (default 0)")
    check.add_argument(
        "--read", type=int, default=0, metavar="N", help="also read N images and their outlines; -1: all"
    )
    phantom = commands.add_parser("phantom", help="write a phantom dataset")
    phantom.add_argument("path", type=Path, metavar="PATH", help="folder to write, new or empty")
    phantom.add_argument("--patients", type=int, default=20, help="two images each (default 20)")
    phantom.add_argument("--seed", type=int, default=0)
    phantom.add_argument("--spacing", type=float, default=0.2, metavar="MM", help="per pixel (default 0.2)")
    phantom.add_argument("--normal", type=float, default=0.3, help="fraction of patients without a lesion")
    phantom.add_argument("--calcifications", type=float, default=0.25, help="fraction of lesions that are clusters")
    phantom.add_argument("--arrays", action="store_true", help="write .npy arrays instead of DICOM")
    return parser


def _check(options: argparse.Namespace) -> int:
    dataset = open_dataset(options.path, format_name=options.format, seed=options.seed)
    if options.read:
        _read(dataset, options.read)
    for line in summarize(dataset):
        print(line)
    for line in problems(dataset.notes, "note"):
        print(line)
    for line in problems(dataset.skipped, "skipped"):
        print(line)
    if not len(dataset):
        raise DatasetError(f"{options.path}: no image of this set can be used")
    check_disjoint(dataset)
    return 0


def _read(dataset: Dataset, limit: int) -> None:
    """Read images, at most ``limit`` if that is not negative; what fails is logged by the dataset."""
    from lcx_fast.errors import LcxError

    total = len(dataset) if limit < 0 else min(limit, len(dataset))
    with ProgressLine() as progress:
        for done, record in enumerate(islice(dataset, total)):
            progress.show("images read", done, total)
            try:
                mammogram = dataset.load(record)
            except (LcxError, DatasetError, OSError) as error:
                dataset.skipped.add(record.name, error)
                continue
            dataset.outline_masks(record, mammogram.shape)


def _phantom(options: argparse.Namespace) -> int:
    from .phantom import PhantomSettings
    from .phantom_set import PhantomPlan, write_phantom

    if options.path.exists() and (not options.path.is_dir() or any(options.path.iterdir())):
        raise DatasetError(f"{options.path}: there is something already; give a new or an empty folder")
    if not (options.patients > 0 and 0.05 <= options.spacing <= 1.0):
        raise DatasetError("--patients must be 1 or more, --spacing from 0.05 to 1")
    if not (0.0 <= options.normal <= 1.0 and 0.0 <= options.calcifications <= 1.0):
        raise DatasetError("--normal and --calcifications must be from 0 to 1")
    height, width = round(240.0 / options.spacing), round(180.0 / options.spacing)
    plan = PhantomPlan(
        patients=options.patients,
        seed=options.seed,
        normal=options.normal,
        calcifications=options.calcifications,
        file_format="npy" if options.arrays else "dicom",
        settings=PhantomSettings(height=height, width=width, spacing_mm=options.spacing),
    )
    with ProgressLine() as progress:
        count = write_phantom(options.path, plan, progress=partial(progress.show, "images drawn"))
    print(f"{count} images of {options.patients} patients in {options.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
