"""The command as a process: interrupted where Python loads and ends, and short of memory and threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from models import breast_image, write_brightness_model

ROOT = Path(__file__).parent.parent

#: Run by Python at its start: sends the process an interrupt when it loads a module, or when it ends.
INTERRUPTS = """
import atexit, os, signal, sys

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            interrupt()

sys.meta_path.insert(0, Finder())
if os.environ["INTERRUPT_AT"] == "the end":
    atexit.register(interrupt)
"""


def run_command(*arguments, limits="", handler=signal.SIG_DFL, **variables):
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        ["bash", "-c", f'{limits}\nexec "$@"', "bash", *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment | variables,
        timeout=120,
        # A shell starts background jobs with the interrupt ignored, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )


@pytest.fixture
def interrupts(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS)
    return str(tmp_path)


@pytest.mark.parametrize(
    "at",
    ["lcx_fast.console", "lcx_fast.cli", "argparse", "lcx_fast.batch", "numpy", "lcx_fast.ops", "the end"],
)
@pytest.mark.parametrize(
    "how", [["-m", "lcx_fast"], ["-c", "import sys; from lcx_fast.__main__ import run; sys.exit(run())"]]
)
def test_an_interrupt_while_python_loads_or_ends_is_clean(interrupts, at, how, tmp_path):
    done = run_command(*how, "infer", tmp_path / "missing", INTERRUPT_AT=at, PYTHONPATH=interrupts)
    assert done.returncode == 130
    assert done.stdout == ""
    assert done.stderr == "" or at == "the end"
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr


def test_an_interrupt_that_the_caller_ignores_is_ignored(interrupts):
    for at in ("lcx_fast.console", "argparse", "the end"):
        arguments = ("-m", "lcx_fast", "--version")
        done = run_command(*arguments, handler=signal.SIG_IGN, INTERRUPT_AT=at, PYTHONPATH=interrupts)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("lcx-fast ")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    write_brightness_model(folder / "model.onnx")
    image = breast_image()
    (folder / "a.pgm").write_bytes(b"P5\n%d %d\n65535\n" % image.shape[::-1] + image.astype(">u2").tobytes())
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit address space")
@pytest.mark.parametrize(
    "limits",
    [
        "ulimit -v 60000",
        "ulimit -v 150000",
        "ulimit -v 200000",
        "ulimit -v 260000",
        "ulimit -s 8000000; ulimit -v 4000000",  # each thread's stack is larger than all there is
        "ulimit -s 4000000; ulimit -v 6000000",
    ],
)
def test_without_memory_or_threads_there_is_one_line(film, limits):
    arguments = ("-m", "lcx_fast", "infer", film / "a.pgm", "--model", film / "model.onnx", "--json")
    done = run_command(*arguments, limits=limits)
    if done.returncode == 0:  # another machine, another allocator
        assert done.stdout.count("\n") == 1
        return
    assert done.returncode == 3 and done.stdout == ""
    told = [line for line in done.stderr.splitlines() if not line.startswith(("no --out", "1 of 1 files failed"))]
    assert len(told) == 1 and told[0].startswith(("lcx-fast: ", "a.pgm: "))  # the second: where it ran out at the film
    assert any(word in told[0] for word in ("ulimit", "not enough memory"))


def test_operations_that_get_no_threads_do_the_work_themselves():
    code = """
import numpy as np
from lcx_fast import ops
mask = np.random.default_rng(0).random((3000, 2000)) > 0.5
one, count = ops.label_components(mask, threads=1)
many, also = ops.label_components(mask, threads=8)
assert (one == many).all() and count == also
print(count)
"""
    limits = "ulimit -s 8000000; ulimit -v 4000000"
    done = run_command("-c", code, limits=limits, OPENBLAS_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000


def test_a_forked_process_is_told_and_not_left_hanging(film):
    """OpenVINO would wait for threads that are in the parent only; ONNX Runtime, loaded anew, serves the child."""
    code = """
import os, signal, sys, threading, time
import lcx_fast

film, model = sys.argv[1:]
detector = lcx_fast.load_model(model, device="cpu")
at_work = [threading.Thread(target=lambda: [detector.infer(film) for _ in range(10)]) for _ in range(3)]
for thread in at_work:
    thread.start()
time.sleep(0.05)
if os.fork() == 0:
    signal.alarm(60)
    try:
        detector.infer(film)
    except lcx_fast.EngineError as error:
        print(error, flush=True)
    try:
        print(lcx_fast.load_model(model, device="cpu").engine_info.name, flush=True)
    except lcx_fast.EngineError as error:
        print("none:", error, flush=True)
    os._exit(0)
print(os.wait()[1], flush=True)
for thread in at_work:
    thread.join()
"""
    done = run_command("-c", code, film / "a.pgm", film / "model.onnx", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    told, then, status = done.stdout.splitlines()
    assert "before this process was forked" in told and told.endswith("or start processes by 'spawn'")
    assert then == "onnxruntime" or then.startswith("none: ")
    assert status == "0"


def test_a_missing_library_is_one_line(film, tmp_path):
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text(
        "try:\n    import gone\nexcept ImportError as error:\n    raise ImportError('pages\\nof advice') from error\n"
    )
    done = run_command("-m", "lcx_fast", "infer", film / "a.pgm", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lcx-fast: a library cannot be loaded: No module named 'gone'; ")
