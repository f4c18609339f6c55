"""The emulation of CUDA that the kernels are tested under: it runs sound kernels right and notices planted faults."""

from __future__ import annotations

import subprocess

import fake_cuda
import pytest

ORDERS = [(kind, str(seed)) for kind, seed in fake_cuda.SCHEDULES]


@pytest.fixture(scope="module")
def program():
    return next(fake_cuda.built().glob("**/cuda_on_cpu_faults"))


@pytest.fixture
def run(program):
    def run(name: str, kind: str = "in order", seed: str = "0") -> str:
        done = subprocess.run([program, name, kind, seed], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize(("kind", "seed"), ORDERS)
def test_sound_kernels(run, kind, seed):
    reversed_numbers = " ".join(str(63 - i) for i in range(64))
    assert run("with_barrier", kind, seed).startswith(reversed_numbers)
    assert run("count_with_atomics", kind, seed).startswith("256 \ncudaSuccess")
    assert run("wait_for_the_last", kind, seed).startswith("12345 \ncudaSuccess")
    assert run("event_order", kind, seed).startswith("64\ncudaSuccess")


@pytest.mark.parametrize("name", ["dropped_barrier", "count_without_atomics", "last_writer"])
def test_a_race_gives_different_results_under_different_schedules(run, name):
    assert len({run(name, kind, seed) for kind, seed in ORDERS}) > 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("two_barriers", "cudaErrorLaunchFailure kernel: divergent barrier in block (0, 0, 0): threads wait"),
        ("early_end", "divergent barrier in block (0, 0, 0): 1 of 64 threads had ended"),
        ("barrier_or_warp", "deadlock in block (0, 0, 0): 16 threads wait at a barrier, 16 in a warp collective"),
        ("lane_missing", "names lane 3, which has ended or does not exist"),
        ("shuffle_from_outside", "reads lane 20, which its mask leaves out"),
        ("write_past_the_end", "cudaErrorIllegalAddress kernel: illegal address"),
        ("write_far_before", "cudaErrorIllegalAddress kernel: illegal address"),
        ("write_just_before", "cudaErrorIllegalAddress memory around an allocation was written to"),
        ("wait_for_ever", "cudaErrorLaunchTimeout kernel: does not end"),
        ("host_reads_device", "the host touches device memory"),
        ("host_writes_device", "the host touches device memory"),
    ],
)
@pytest.mark.parametrize(("kind", "seed"), [ORDERS[0], ORDERS[-1]])
def test_planted_faults_are_noticed(run, name, words, kind, seed):
    said = run(name, kind, seed)
    assert words in said
    assert "cudaSuccess" not in said


def test_results_are_not_there_before_the_host_waits(run):
    assert run("no_wait").startswith("-1 0\n")


def test_memory_does_not_start_as_zeros(run):
    assert not run("fresh_memory_is_no_zeros").startswith("0 ")


@pytest.mark.parametrize(("kind", "seed"), ORDERS)
def test_a_captured_graph_is_replayed_with_what_is_in_the_buffers_then(run, kind, seed):
    assert run("graph", kind, seed).startswith("cudaSuccess 100 164 1000 1064 \ncudaSuccess")


def test_what_a_graph_cannot_hold_is_an_error(run):
    unsupported = "cudaErrorStreamCaptureUnsupported"
    assert run("capture_faults").splitlines()[0].split() == [
        unsupported,
        "cudaErrorStreamCaptureInvalidated",
        unsupported,
        unsupported,
        "cudaErrorStreamCaptureUnjoined",
    ]


def test_whom_a_capture_forbids_to_allocate(run):
    by_mode = run("capture_modes").splitlines()[0]
    assert by_mode == "may not, may not; may not, may; may, may; "  # global; thread-local; relaxed: own thread, another


def test_wrong_calls_return_errors(run):
    assert run("wrong_calls").splitlines()[0].split() == [
        "cudaErrorInvalidConfiguration",
        "cudaErrorInvalidConfiguration",
        "cudaErrorInvalidValue",
        "cudaErrorInvalidValue",
        "cudaErrorInvalidDevice",
        "cudaErrorMemoryAllocation",
        "cudaErrorInvalidResourceHandle",
    ]


@pytest.mark.parametrize("seed", ["0", "1"])
def test_operations_on_a_stream_allocate_nothing_and_wait_for_nothing(seed):
    program = next(fake_cuda.built().glob("**/cuda_on_cpu_steady"))
    done = subprocess.run([program, seed], capture_output=True, text=True, timeout=120)
    assert done.stdout == "0 wrong\n" and done.returncode == 0, done.stdout + done.stderr
