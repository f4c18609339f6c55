"""Every CUDA twin under the emulation and AddressSanitizer: no byte outside an array is touched."""

from __future__ import annotations

import os
import subprocess

import fake_cuda
import pytest

#: Building with AddressSanitizer takes minutes; `.ci/run` asks for these.
pytestmark = pytest.mark.slow

FLAGS = "-fsanitize=address -fno-omit-frame-pointer -g1"


@pytest.fixture(scope="module")
def program():
    return build("cuda_on_cpu_kernels")


def build(target):
    folder = fake_cuda.build_folder(f"-DCMAKE_CXX_FLAGS={FLAGS}", name="asan", target=target)
    return next(folder.glob(f"**/{target}"))


def run(program, mode):
    environment = dict(os.environ, ASAN_OPTIONS="detect_stack_use_after_return=0:detect_leaks=0")
    return subprocess.run([program, mode], capture_output=True, text=True, timeout=240, env=environment)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", ["0", "1"])
def test_kernels_stay_within_their_arrays(program, seed):
    done = run(program, seed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "0 differ\n"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", ["0", "1"])
def test_operations_on_a_stream_do_too(seed):
    done = run(build("cuda_on_cpu_steady"), seed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "0 wrong\n"


def test_a_planted_overrun_is_seen(program):
    done = run(program, "overrun")
    assert done.returncode != 0
    assert "use-after-poison" in done.stderr
