"""What the commands of training share: an error is one line, and the images that a model is measured on."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from lcx_fast.errors import LcxError
from lcx_fast.model import ModelSpec
from training.prepare import Sample
from training.prepared import load_samples

Arguments = ParamSpec("Arguments")


def one_line_errors(command: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """The command, with what is wrong with its input said in one line on standard error and exit code 2."""

    @wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError, LcxError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2

    return run


def add_dataset_options(parser: argparse.ArgumentParser, *, data: str) -> None:
    """--data, with ``data`` as its help, --dataset and --cache: what ``given_samples`` reads."""
    parser.add_argument("--data", type=Path, required=True, help=data)
    parser.add_argument("--dataset", help="its layout; found out if not given")
    parser.add_argument("--cache", type=Path, help="folder of prepared images (default: made and removed)")


def given_samples(options: argparse.Namespace, spec: ModelSpec) -> list[Sample]:
    """The dataset that the options of ``add_dataset_options`` name, on the model's grid."""
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder) / "cache"
        return load_samples(options.data, cache, dataset=options.dataset, spacing_mm=spec.pixel_spacing_mm)
