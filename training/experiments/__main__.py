"""Run the experiment, and make its tables and figures.

    python -m training.experiments run --suite main --data CDD_CESM_FOLDER --out runs/proof --minutes 30
    python -m training.experiments report --out runs/proof

`run` does what is not done yet and stops after the minutes given; call it again to go on, also after a kill, also
several at once (each takes another run).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from training.experiments.arms import read_arms
from training.experiments.data import load_cases
from training.experiments.runs import Run, execute
from training.experiments.tables import summary

RESULTS = Path(__file__).resolve().parent / "results"


def _tune(options: argparse.Namespace) -> None:
    arms = read_arms(options.arms_file) if options.arms_file else read_arms()
    cases = load_cases(options.dataset, data=options.data, cache=options.out / "cache", spacing_mm=1.0)
    for name in options.arms:
        run = Run(options.dataset, arms[name], options.seed, train_parts=("fit",), measured_part="tune")
        document = execute(run, cases, work=options.out / "tuning_work", results=options.out / "tuning",
                           deadline=time.monotonic() + 60 * options.minutes, command="")  # fmt: skip
        if document is not None:
            print(name, " ".join(f"{k} {v:.3f}" for k, v in summary(document["images"]).items()), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.experiments")
    commands = parser.add_subparsers(dest="command", required=True)
    tune = commands.add_parser("tune", help="train on part of the train patients, measure on the other part")
    tune.add_argument("--dataset", default="cdd_cesm")
    tune.add_argument("--arms", nargs="+", required=True)
    tune.add_argument("--arms-file", type=Path)
    tune.add_argument("--seed", type=int, default=1)
    for command in (tune,):
        command.add_argument("--data", type=Path)
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--minutes", type=float, default=1e6)
        command.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    _tune(options)


if __name__ == "__main__":
    main()
