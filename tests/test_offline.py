"""Nothing leaves the machine: the main job with every socket refused, and OpenVINO's telemetry never loaded."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
from models import breast_image, write_brightness_model

SCRIPT = """
import socket, sys

def refuse(event, arguments):
    if event.startswith("socket.") and event not in ("socket.gethostname", "socket.__new__"):
        raise RuntimeError(f"network call: {event} {arguments}")
    if event == "socket.__new__":
        raise RuntimeError("a socket was made")

sys.addaudithook(refuse)
import lcx_fast
model, film, engine = sys.argv[1:]
report = lcx_fast.load_model(model, engine=engine).infer(film, pixel_spacing_mm=0.5)
assert len(report.lesions) == 1, report.lesions
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"openvino", "openvino_telemetry", "torch"}, loaded
print("done")
"""


@pytest.fixture
def files(tmp_path):
    model = write_brightness_model(tmp_path / "brightness.onnx")
    film = tmp_path / "film.pgm"
    image = breast_image()
    film.write_bytes(b"P5\n%d %d\n65535\n" % image.shape[::-1] + image.astype(">u2").tobytes())
    return str(model), str(film)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_main_job_with_every_python_socket_refused(files, engine):
    result = subprocess.run([sys.executable, "-c", SCRIPT, *files, engine], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stdout.strip() == "done", (result.returncode, result.stderr)


#: Kills the process at the socket system call, so that compiled libraries are held to it too and cannot shrug a refusal
#: off (seccomp, x86-64 Linux). A forked child shows that the filter works.
SECCOMP = """
import ctypes, os, signal, struct, sys

SOCKET, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 41, 2, 38, 22
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
program = [
    (LOAD, 0, 0, 0),
    (JUMP_EQUAL, 0, 1, SOCKET),
    (RETURN, 0, 0, KILL_PROCESS),
    (RETURN, 0, 0, ALLOW),
]
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *f) for f in program))

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

libc = ctypes.CDLL(None, use_errno=True)
bpf = Program(len(program), ctypes.cast(filters, ctypes.c_void_p))
libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(bpf), 0, 0) != 0:
    print("no seccomp")
    sys.exit()
child = os.fork()
if child == 0:
    import socket
    socket.socket()
    os._exit(0)
status = os.waitpid(child, 0)[1]
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS, "the filter does not work"
import lcx_fast
model, film, engine = sys.argv[1:]
report = lcx_fast.load_model(model, engine=engine).infer(film, pixel_spacing_mm=0.5)
assert len(report.lesions) == 1
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="the filter is for x86-64 Linux")
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_main_job_never_makes_the_socket_system_call(files, engine):
    result = subprocess.run(
        [sys.executable, "-c", SECCOMP, *files, engine], capture_output=True, text=True, timeout=120
    )
    if result.stdout.strip() == "no seccomp":
        pytest.skip("this kernel allows no seccomp filter")
    assert result.returncode == 0 and result.stdout.strip() == "done", (result.returncode, result.stderr)


def test_onnx_runtime_reports_nothing_and_leaves_no_identifier(files, tmp_path):
    """Its official builds for Linux do both from 1.29 on, unless told not to before they are loaded."""
    home = tmp_path / "home"
    home.mkdir()
    # What would keep it quiet by itself: in tests and in CI it never reports.
    quiet = {"ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "XDG_CACHE_HOME"}
    environment = {key: value for key, value in os.environ.items() if key not in quiet} | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *files, "onnxruntime"],
        capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stderr
    assert list(home.rglob("*")) == []
