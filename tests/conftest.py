"""Makes the reference importable by the test modules, and lends them devices."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_cuda import SCHEDULES


@pytest.fixture(params=[f"{kind} {seed}" for kind, seed in SCHEDULES])
def emulated(request, monkeypatch):
    """The emulated core in place of the compiled one in ``lcx_fast.ops``, under one schedule after another."""
    import fake_cuda

    from lcx_fast import ops, overlaps

    core = fake_cuda.core()
    kind, seed = request.param.rsplit(" ", 1)
    core.emulation.reset()
    core.emulation.set_schedule(kind, int(seed))
    for module in (ops, overlaps):
        monkeypatch.setattr(module, "_core", core)
    yield core
    core.emulation.set_schedule("in order", 0)


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
