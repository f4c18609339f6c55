"""The ``lcx-fast`` command.

Exit codes: 0 everything was read; 2 bad input or usage; 3 a device or engine failed, or memory or threads ran out; 130
stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import build_command, evaluate_command
from .console import (
    EXIT_INTERRUPTED,
    ProgressLine,
    let_interrupts_unwind,
    prepare_standard_streams,
    printable,
    say,
)
from .errors import DeviceError, EngineError, LcxError

if TYPE_CHECKING:
    from .batch import Result

#: Bytes of address space that NumPy and OpenBLAS take to be loaded, and a little.
LEAST_MEMORY = 192 << 20

EXIT_OK, EXIT_BAD_INPUT, EXIT_ENGINE = 0, 2, 3


class _ShowVersion(argparse.Action):
    """Asks for the version when it is wanted: that takes a third of the time of starting."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from . import __version__

        print(f"lcx-fast {__version__}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    parser = argparse.ArgumentParser(
        prog="lcx-fast",
        description="Find lesions in mammograms. Research use only.",
        epilog="Exit codes: 0 all read, 2 bad input, 3 device or engine, 130 interrupted.",
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    infer = commands.add_parser("infer", help="find lesions in files or folders")
    infer.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="DICOM, PNG, PGM, JPEG, TIFF, or a folder")
    infer.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (made if missing)")
    infer.add_argument(
        "--format", default="json,png", metavar="LIST", help="what to write: json, png, or both (default)"
    )
    infer.add_argument("--model", metavar="M", help="a bundled model's name or an .onnx file")
    infer.add_argument("--device", default="auto", metavar="D", help="auto, cpu or cuda (default: auto)")
    infer.add_argument(
        "--precision", default="auto", metavar="P", help="auto, fp32, bf16, fp16 or int8 (default: auto)"
    )
    infer.add_argument(
        "--operating-point",
        metavar="O",
        help="high-sensitivity, balanced, high-specificity, or all: every candidate (default: the model's)",
    )
    infer.add_argument("--pixel-spacing", type=float, metavar="MM", help="overrides the spacing in the files, in mm")
    infer.add_argument("--json", action="store_true", help="print one JSON document per image, a line each")

    build_command.add_parser(commands)
    evaluate_command.add_parser(commands)
    doctor = commands.add_parser("doctor", help="versions, devices, engines, and a self-test")
    doctor.add_argument("--json", action="store_true", help="print as JSON")
    return parser


def summary_line(result: Result) -> str:
    """One image in one line."""
    report, name = result.report, result.path.name
    if report is None:
        return f"{name}: not read: {result.error}"
    if result.error is not None:
        return f"{name}: not written: {result.error}"
    mammogram = report.mammogram
    view = " ".join(filter(None, (mammogram.laterality, mammogram.view_position))) or "-"
    best = f", best {report.lesions[0].score:.2f}" if report.lesions else ""
    count = len(report.lesions)
    verdict = ""
    if report.decision is not None:
        point = report.decision.operating_point.replace("_", " ")
        verdict = f" ({'recall' if report.decision.recall else 'no recall'}, {point})"
    lesions = f"{count} lesion{'' if count == 1 else 's'}{best}"
    milliseconds = f"{report.timings['total'] * 1e3:.0f} ms"
    return f"{name}: {view}, score {report.score:.2f}{verdict}, {lesions}, {milliseconds}"


def print_warnings(warnings: Mapping[str, Sequence[str]]) -> None:
    """Each warning once, with the images it is about."""
    for warning, names in warnings.items():
        where = names[0] if len(names) == 1 else f"{len(names)} images"
        say(printable(f"warning, {where}: {warning}"))


def run_infer(arguments: argparse.Namespace) -> int:
    """``lcx-fast infer``."""
    from .batch import FORMATS, find_images, infer_files
    from .errors import InvalidArgument
    from .pipeline import load_model

    let_interrupts_unwind()
    formats = [name.strip() for name in arguments.format.split(",") if name.strip()]
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InvalidArgument(f"--format {arguments.format!r}; accepted: {', '.join(FORMATS)}")
    paths = find_images(arguments.paths)
    if arguments.out is None and not arguments.json:
        say("no --out: nothing is written, only summaries are shown")
    detector = load_model(
        arguments.model,
        device=arguments.device,
        precision=arguments.precision,
        operating_point=arguments.operating_point,
    )
    failed, code = 0, EXIT_OK
    warnings: dict[str, list[str]] = {}
    results = infer_files(detector, paths, out=arguments.out, formats=formats, pixel_spacing_mm=arguments.pixel_spacing)
    with ProgressLine(wanted=len(paths) > 1) as progress:
        progress.show(paths[0].name, 0, len(paths))
        for done, result in enumerate(results, start=1):
            progress.clear()
            if result.error is not None:
                failed += 1
                code = max(code, EXIT_ENGINE if isinstance(result.error, DeviceError) else EXIT_BAD_INPUT)
                say(printable(summary_line(result)))
            elif result.report is not None:
                as_json = arguments.json
                shown = json.dumps(result.report.to_dict(), allow_nan=False) if as_json else summary_line(result)
                print(printable(shown), flush=True)
                for warning in result.report.warnings:
                    warnings.setdefault(warning, []).append(result.path.name)
            if done < len(paths):
                progress.show(paths[done].name, done, len(paths))
    print_warnings(warnings)
    if failed:
        say(f"{failed} of {len(paths)} files failed")
    return code


def run_doctor(arguments: argparse.Namespace) -> int:
    """``lcx-fast doctor``."""
    from .doctor import describe, examine

    let_interrupts_unwind()
    facts = examine()
    print(json.dumps(facts, indent=1) if arguments.json else describe(facts))
    return EXIT_OK if facts["self_test"]["passed"] else EXIT_ENGINE


def require_memory() -> None:
    """Refuse a limit under which no library can be loaded; some end the process by themselves then.

    Raises:
        DeviceError: if it is so.
    """
    from .parallel import memory_limit

    limit = memory_limit()
    if limit is not None and limit < LEAST_MEMORY:
        raise DeviceError(
            f"this process may have {limit >> 20} MB of memory (ulimit -v); it needs {LEAST_MEMORY >> 20} MB at least"
        )


def _cause(error: BaseException) -> str:
    """What was raised first, in a line; libraries wrap it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


COMMANDS = {
    "infer": run_infer,
    "build-engine": build_command.run,
    "evaluate": evaluate_command.run,
    "doctor": run_doctor,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    prepare_standard_streams()
    arguments = build_parser().parse_args(argv)
    try:
        require_memory()
        return COMMANDS[arguments.command](arguments)
    except KeyboardInterrupt:
        say("\nstopped")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; say nothing more, not even at exit.
        sys.stdout = None
        return 128 + signal.SIGPIPE
    except OSError as error:  # files have errors of our own; left are standard output, and folders not to be listed
        say(printable(f"lcx-fast: {error}"))
        sys.stdout = None
        return EXIT_BAD_INPUT
    except (DeviceError, EngineError) as error:
        say(printable(f"lcx-fast: {error}"))
        return EXIT_ENGINE
    except MemoryError:
        say("lcx-fast: not enough memory; end other programs, or raise this one's limit (ulimit -v, a container's)")
        return EXIT_ENGINE
    except LcxError as error:
        say(printable(f"lcx-fast: {error}"))
        return EXIT_BAD_INPUT
    except ImportError as error:  # damaged, missing, or no memory to load it
        say(
            printable(
                f"lcx-fast: a library cannot be loaded: {_cause(error)}; installing lcx_fast again brings all of them"
            )
        )
        return EXIT_ENGINE
