"""Arrays in GPU memory through the bindings: whose they are, which stream, what comes back, what is refused."""

from __future__ import annotations

import fake_cuda
import numpy as np
import pytest
from fake_cuda import DlpackOnly, FakeCudaArray, to_numpy

from lcx_fast import DeviceError, InvalidArgument, _core, ops

MASK = np.random.default_rng(3).random((50, 70)) < 0.5
LABELS, COUNT = _core.label_components(MASK, connectivity=8, threads=1)


@pytest.fixture
def stream(emulated):
    handle = emulated.emulation.create_stream()
    yield handle
    emulated.emulation.destroy_stream(handle)


def check(result):
    labels, count = result
    assert count == COUNT
    assert np.array_equal(to_numpy(labels), LABELS)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        lambda a: a.astype(np.uint8) * 7,
        np.asfortranarray,
        lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
        lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    ],
    ids=["bool", "uint8", "transposed", "every other", "reversed"],
)
def test_any_layout_is_taken(emulated, change):
    check(ops.label_components(FakeCudaArray(change(MASK))))


def test_the_interfaces_own_stream_is_respected(emulated, stream):
    check(ops.label_components(FakeCudaArray(MASK, stream=stream)))
    assert ops.label_components(FakeCudaArray(MASK, stream=stream))[0].__cuda_array_interface__["stream"] == stream


class CupyStream:
    def __init__(self, handle):
        self.ptr = handle


class TorchStream:
    def __init__(self, handle):
        self.cuda_stream = handle


@pytest.mark.parametrize("kind", [int, CupyStream, TorchStream])
def test_the_callers_stream_waits_for_the_arrays(emulated, stream, kind):
    own = emulated.emulation.create_stream()
    labels, count = ops.label_components(FakeCudaArray(MASK, stream=stream), stream=kind(own))
    check((labels, count))
    assert labels.__cuda_array_interface__["stream"] == own


def test_results_are_lent_by_both_protocols(emulated, stream):
    labels, _ = ops.label_components(FakeCudaArray(MASK, stream=stream))
    interface = labels.__cuda_array_interface__
    assert interface["shape"] == labels.shape == MASK.shape
    assert interface["typestr"] == "<i4" and labels.dtype == np.int32
    assert labels.__dlpack_device__() == (2, 0)
    for version in (None, (1, 0)):
        name = str(labels.__dlpack__(stream=1, max_version=version))
        assert ("dltensor_versioned" in name) == (version is not None)
    data = interface["data"][0]
    capsule = labels.__dlpack__()
    before = emulated.emulation.counters()["live"]
    del labels
    assert emulated.emulation.counters()["live"] == before, "a consumer may hold on to the memory"
    del capsule
    emulated.emulation.synchronize(stream)
    assert emulated.emulation.counters()["live"] == before - 1
    assert data


@pytest.mark.parametrize("consumer", [None, 1, 2])
def test_a_consumer_by_dlpack_waits_for_the_results_stream(emulated, stream, consumer):
    """None stands for the legacy default stream, as the protocol says."""
    labels, _ = ops.label_components(FakeCudaArray(MASK, stream=stream))
    address = labels.__cuda_array_interface__["data"][0]
    size = 4 * MASK.size
    emulated.emulation.clear(address, size, stream)  # not waited for by anybody yet
    assert set(emulated.emulation.read(address, size)) != {0}, "-1: the consumer waits for nothing"
    labels.__dlpack__(stream=-1)
    assert set(emulated.emulation.read(address, size)) != {0}
    labels.__dlpack__(stream=consumer)
    assert set(emulated.emulation.read(address, size)) == {0}


class OwnedStream:
    """A stream that ends with its owner, as CuPy's do."""

    def __init__(self, emulation):
        self.emulation, self.ptr = emulation, emulation.create_stream()

    def __del__(self):
        self.emulation.destroy_stream(self.ptr)


def test_a_result_keeps_the_stream_that_its_memory_is_given_back_on(emulated):
    mask = FakeCudaArray(MASK)
    before = emulated.emulation.counters()["live"]
    for hold in (lambda result: result, lambda result: result.__dlpack__()):
        own = OwnedStream(emulated.emulation)
        handle = own.ptr
        held = hold(ops.label_components(mask, stream=own)[0])
        del own
        emulated.emulation.synchronize(handle)  # which fails where there is no such stream any more
        assert emulated.emulation.counters()["live"] == before + 1
        del held
        assert emulated.emulation.counters()["live"] == before


def test_a_stream_that_ended_too_early_is_not_told_by_a_later_call(emulated):
    handle = emulated.emulation.create_stream()
    labels, _ = ops.label_components(FakeCudaArray(MASK), stream=handle)
    emulated.emulation.destroy_stream(handle)
    del labels
    check(ops.label_components(FakeCudaArray(MASK)))


def test_dlpack_arrays_are_taken_on_the_calls_stream(emulated, stream):
    labels, _ = ops.label_components(FakeCudaArray(MASK))
    lender = DlpackOnly(labels)
    with pytest.raises(InvalidArgument, match="mask is int32; needed: uint8"):
        ops.label_components(lender, stream=stream)
    assert lender.streams == [stream]


def test_the_devices_number_is_kept(emulated):
    labels, count = ops.label_components(FakeCudaArray(MASK, device=1))
    assert labels.__dlpack_device__() == (2, 1)
    check((labels, count))


def test_steady_state_neither_waits_nor_allocates_more_than_it_says(emulated):
    mask = FakeCudaArray(MASK)
    ops.label_components(mask)
    before = emulated.emulation.counters()
    ops.label_components(mask)
    after = emulated.emulation.counters()
    assert after["waits"] - before["waits"] == 1, "once, to return the count"
    assert after["allocations"] - before["allocations"] == 2, "the result and scratch, both from the pool"
    assert after["copies"] - before["copies"] == 1


def test_what_does_not_fit_is_refused(emulated):
    with pytest.raises(InvalidArgument, match="mask is float32; needed: uint8"):
        ops.label_components(FakeCudaArray(MASK.astype(np.float32)))
    with pytest.raises(InvalidArgument, match="mask has 1 axes; needed: 2"):
        ops.label_components(FakeCudaArray(MASK[0]))
    with pytest.raises(InvalidArgument, match="stream -1 is no handle"):
        ops.label_components(np.zeros((2, 2), bool), stream=-1)
    with pytest.raises(InvalidArgument, match="stream is a str"):
        ops.label_components(FakeCudaArray(MASK), stream="fast")
    broken = FakeCudaArray(MASK)

    class Liar:
        __cuda_array_interface__ = broken.__cuda_array_interface__ | {"data": (MASK.ctypes.data, False)}

    with pytest.raises(InvalidArgument, match="its address is not"):
        ops.label_components(Liar())
    with pytest.raises(DeviceError, match="cudaErrorInvalidResourceHandle"):
        ops.label_components(FakeCudaArray(MASK), stream=0x1234)
    assert fake_cuda.core() is emulated


def test_empty_arrays(emulated):
    labels, count = ops.label_components(FakeCudaArray(np.zeros((0, 5), bool)))
    assert count == 0
    assert labels.shape == (0, 5)
