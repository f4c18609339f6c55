"""Makes the reference importable by the test modules, and lends them devices."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# For the tests that load ONNX Runtime themselves; lcx_fast sees to it where it does.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from fake_cuda import SCHEDULES

ORDERS = [f"{kind} {seed}" for kind, seed in SCHEDULES]


@pytest.fixture
def device(request, monkeypatch):
    """A core whose CUDA operations run: emulated, under one schedule after another, or on a GPU where there is one."""
    import fake_cuda

    from lcx_fast import _core, masks, ops, overlaps, values

    if request.param == "gpu":
        monkeypatch.setattr(fake_cuda.FakeCudaArray, "memory", fake_cuda.TorchMemory)
        yield _core
        return
    core = fake_cuda.core()
    kind, seed = request.param.rsplit(" ", 1)
    core.emulation.reset()
    core.emulation.set_schedule(kind, int(seed))
    for module in (masks, ops, overlaps, values):
        monkeypatch.setattr(module, "_core", core)
    yield core
    core.emulation.set_schedule("in order", 0)


@pytest.fixture
def emulated(device):
    """The same, for tests that look into the emulation: never a GPU."""
    return device


def pytest_generate_tests(metafunc):
    own = [mark for mark in metafunc.definition.iter_markers("parametrize") if mark.args[0] == "device"]
    if "device" not in metafunc.fixturenames or own:
        return
    gpu = [] if "emulated" in metafunc.fixturenames else [pytest.param("gpu", marks=pytest.mark.cuda)]
    metafunc.parametrize("device", [*ORDERS, *gpu], indirect=True)


def pytest_runtest_setup(item):
    """``-m cuda`` tests need a GPU; LCX_REQUIRE_CUDA=1 makes the want of one a failure."""
    if item.get_closest_marker("cuda") is None:
        return
    from lcx_fast import _core

    if _core.cuda_device_count() > 0:
        return
    if os.environ.get("LCX_REQUIRE_CUDA") == "1":
        pytest.fail("LCX_REQUIRE_CUDA=1, but this build of lcx_fast finds no CUDA device")
    pytest.skip("no CUDA device")


@pytest.fixture
def one_thread():
    """One torch thread: tensors as small as the tests' only lose by more, and by a lot where the cores are shared."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
