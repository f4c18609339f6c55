"""What the commands of training share: an error is one line, numbers in range, the images a model is measured on."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from lcx_fast.errors import LcxError
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


def at_least(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number not below ``least``."""

    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r}; needed: a whole number, at least {least}")
        return value

    return whole_number


def add_dataset_options(parser: argparse.ArgumentParser, *, data: str, cache: str = "made and removed") -> None:
    """--data, --dataset, --cache and --split-seed: what ``given_samples`` reads.

    Args:
        parser: to add them to.
        data: the help of --data.
        cache: where the cache is without --cache, for its help.
    """
    parser.add_argument("--data", type=Path, required=True, help=data)
    parser.add_argument("--dataset", help="its layout; found out if not given")
    parser.add_argument("--cache", type=Path, help=f"folder of prepared images (default: {cache})")
    parser.add_argument("--split-seed", type=int, help="as for training.train (default: the cache's, else 0)")


def given_samples(options: argparse.Namespace, spacing_mm: float) -> list[Sample]:
    """The dataset that the options of ``add_dataset_options`` name, on a grid of ``spacing_mm``."""
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder) / "cache"
        return load_samples(
            options.data, cache, dataset=options.dataset, seed=options.split_seed, spacing_mm=spacing_mm
        )
