"""Run the experiment, and make its tables and figures.

    python -m training.experiments run --suite main --data CDD_CESM_FOLDER --out runs/proof --minutes 30
    python -m training.experiments report --data CDD_CESM_FOLDER --out runs/proof

`run` does what is not done yet and stops after the minutes given; call it again to go on, also after a kill, also
several at once (each takes another run). Suites: main, phantom, sweep, baselines, ablations, all. A result lies in
training/experiments/results; one whose settings, data and protocol are still the same is not computed again.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from training.command import at_least
from training.datasets.record import DatasetError
from training.experiments.arms import read_arms, read_document
from training.experiments.data import Case, load_cases
from training.experiments.runs import OutOfTimeError, Run, execute
from training.experiments.suites import suite_runs
from training.experiments.tables import summary
from training.train import be_deterministic

RESULTS = Path(__file__).resolve().parent / "results"


def _load(dataset: str, options: argparse.Namespace) -> list[Case]:
    spacing = float(read_document(dataset)["data"]["pixel_spacing_mm"])
    return load_cases(dataset, data=options.data, cache=options.out / "cache", spacing_mm=spacing)


def _run(options: argparse.Namespace) -> None:
    """Every run of the suite that is neither done nor under way elsewhere."""
    deadline = time.monotonic() + 60.0 * options.minutes
    command = shlex.join(["python", "-m", "training.experiments", "run", "--suite", options.suite])
    runs = suite_runs(options.suite, read_arms(), seeds=options.seeds)
    runs = [run for run in runs if options.arms is None or run.arm.name in options.arms]
    loaded: dict[str, list[Case]] = {}
    for number, run in enumerate(runs, start=1):
        if run.dataset not in loaded:
            loaded[run.dataset] = _load(run.dataset, options)
        document = execute(
            run,
            loaded[run.dataset],
            work=options.out / "work",
            results=options.results,
            deadline=deadline,
            command=command,
        )
        state = "under way in another process" if document is None else _line(summary(document["images"]))
        print(f"[{number}/{len(runs)}] {run.dataset} {run.name}: {state}", flush=True)


def _tune(options: argparse.Namespace) -> None:
    """Arms of any file, trained on ``fit`` and measured on ``tune``: how the settings were chosen."""
    arms = read_arms(options.arms_file) if options.arms_file else read_arms()
    cases = _load(options.dataset, options)
    for name in options.arms or arms:
        run = Run(options.dataset, arms[name], options.seeds[0], train_parts=("fit",), measured_part="tune")
        document = execute(
            run,
            cases,
            work=options.out / "tuning_work",
            results=options.out / "tuning",
            deadline=time.monotonic() + 60.0 * options.minutes,
            command="python -m training.experiments tune",
        )
        if document is not None:
            print(f"{name}: {_line(summary(document['images']))}", flush=True)


def _report(options: argparse.Namespace) -> None:
    from training.experiments.report import write_report

    write_report(options.results, work=options.out / "work", load=lambda dataset: _load(dataset, options))


def _line(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.experiments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train and measure what is missing")
    run.add_argument("--suite", default="all", help="main, phantom, sweep, baselines, ablations or all")
    tune = commands.add_parser("tune", help="train on part of the train patients, measure on the other part")
    tune.add_argument("--dataset", default="cdd_cesm", choices=("cdd_cesm", "phantom"))
    tune.add_argument("--arms-file", type=Path, help="TOML like training/configs/experiments/arms.toml")
    report = commands.add_parser("report", help="tables and figures from the results that are there")
    for command in (run, tune, report):
        command.add_argument("--data", type=Path, required=True, help="CDD-CESM folder")
        command.add_argument("--out", type=Path, required=True, help="prepared images, checkpoints and maps")
        command.add_argument("--results", type=Path, default=RESULTS, help="result files (default: the committed ones)")
    for command in (run, tune):
        command.add_argument("--arms", nargs="+", help="only these (default: all)")
        command.add_argument("--minutes", type=float, default=1e6, help="start no further epoch after these")
        command.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
        command.add_argument("--threads", type=at_least(1), default=1, help="CPU threads of this process")
        command.add_argument("--deterministic", action="store_true", help="the same bits every time; slower")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input, 3 out of time (call again), 130 interrupted."""
    options = _parser().parse_args(arguments)
    if options.command != "report":
        torch.set_num_threads(options.threads)
        if options.deterministic:
            be_deterministic()
    try:
        {"run": _run, "tune": _tune, "report": _report}[options.command](options)
    except OutOfTimeError:
        print("out of time; the same command goes on from the last epoch")
        return 3
    except (ValueError, OSError, DatasetError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last epoch", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
