"""On a GPU only: the line as one graph with a network of CuPy's, and CuPy's and Torch's arrays and streams."""

from __future__ import annotations

import gc
import math
import sys

import numpy as np
import pytest
from at_once import errors_at_once
from test_device_line import CHANNELS, TILE, film, run

from lcx_fast import _core, ops, preprocess

pytestmark = pytest.mark.cuda

MASK = np.random.default_rng(3).random((500, 700)) < 0.4


def cupy_network():
    """The stand-in network of ``test_device_line``, put on a stream by CuPy."""
    import cupy

    kernel = cupy.ElementwiseKernel(
        "float32 x, float32 w, float32 b", "float32 y", "y = 1 / (1 + expf(-(w * x + b)))", "brightness"
    )

    def at(address, shape):
        memory = cupy.cuda.UnownedMemory(address, 4 * math.prod(shape), None, 0)
        return cupy.ndarray(shape, cupy.float32, cupy.cuda.MemoryPointer(memory, 0))

    def enqueue(source, target, stream):
        tile, maps = at(source, (TILE, TILE)), at(target, (len(CHANNELS), TILE, TILE))
        with cupy.cuda.ExternalStream(stream):
            for k, (weight, bias) in enumerate(CHANNELS):
                kernel(tile, weight, bias, maps[k])

    return enqueue


def new_line(enqueue):
    shapes = {"input_shape": (1, 1, TILE, TILE), "output_shape": (1, len(CHANNELS), TILE, TILE)}
    return _core.DeviceLine(enqueue, **shapes, device=0, weights="gaussian")


@pytest.fixture(scope="module")
def enqueue():
    return cupy_network()


@pytest.fixture
def line(enqueue):
    return new_line(enqueue)


def test_a_loop_that_the_device_ends(line):
    import cupy

    grid, mask, _ = run(line, _core, film((190, 133)))
    assert len(grid) > 3 and mask.any() and not mask.all()
    for reach in (0.45, 0.2, 0.0):
        run(line, _core, film((190, 133), reach=reach))
    assert line.graphs_recorded == 1
    if cupy.cuda.runtime.driverGetVersion() >= 13000:
        assert line.counts_tiles, "the loop was recorded turn by turn: slower, and no conditional node was tried here"


def test_one_tile(line):
    for seed in range(3):
        run(line, _core, film((30, 28), seed), (1.0, 1.0))
    assert line.graphs_recorded == 1 and not line.counts_tiles


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("view", [np.s_[:, :], np.s_[::-1, ::2], np.s_[1:, 3:-1]])
def test_pixels_of_every_kind(line, dtype, view):
    run(line, _core, film((90, 120), dtype=dtype)[view])


def test_a_whole_film(line):
    image = film((4096, 3328))
    coarse = preprocess.coarse_scale(image.shape)
    for scale in ((16.0, 16.0), (60.0, 51.0)):
        grid, *_ = run(line, _core, image, scale, coarse_scale=coarse)
        assert len(grid) > 3


def test_more_sizes_than_are_kept(line):
    for _ in range(2):
        for height in range(60, 67):
            run(line, _core, film((height, 70), height), (1.0, 1.0))


def test_several_lines_at_once(enqueue):
    def work(k):
        line = new_line(enqueue)
        for seed in (k, k + 1, k):
            run(line, _core, film((190 + 10 * (seed % 3), 133), seed))

    assert not errors_at_once(work)


def test_a_network_that_fails_is_told_and_the_gpu_goes_on(enqueue):
    calls = []

    def fails(source, target, stream):
        calls.append(stream)
        if len(calls) in (2, 3):  # recording, in either form of the loop
            raise ValueError("not now")
        enqueue(source, target, stream)

    line = new_line(fails)
    with pytest.raises(ValueError, match="not now"):
        run(line, _core, film((190, 133)))
    run(line, _core, film((190, 133)))


@pytest.fixture(scope="module")
def labelled():
    return _core.label_components(MASK, connectivity=8, threads=1)


@pytest.mark.parametrize("offset", [0, 1, 3, 4, 7, 15, 16])
def test_cupys_arrays_at_any_offset(offset):
    import cupy

    wide = np.zeros((MASK.shape[0], MASK.shape[1] + offset), bool)
    wide[:, offset:] = MASK
    view = cupy.asarray(wide)[:, offset:]
    assert np.array_equal(ops.label_components(view)[0].get(), ops.label_components(MASK)[0])
    assert np.array_equal(ops.fill_holes(view).get(), ops.fill_holes(MASK))


def test_cupys_streams(labelled):
    import cupy

    for stream in (
        cupy.cuda.Stream.null,
        cupy.cuda.Stream.ptds,
        cupy.cuda.Stream(),
        cupy.cuda.Stream(non_blocking=True),
    ):
        with stream:
            mask = cupy.asarray(MASK)
            labels, count = ops.label_components(mask)
            assert count == labelled[1] and np.array_equal(labels.get(), labelled[0])


def test_a_result_outlives_its_stream(labelled):
    import cupy

    for _ in range(20):
        with cupy.cuda.Stream(non_blocking=True):
            labels, _ = ops.label_components(cupy.asarray(MASK))
            host = labels.get()
        gc.collect()
        assert np.array_equal(host, labelled[0])
        del labels
    assert ops.label_components(cupy.asarray(MASK))[1] == labelled[1]


def test_torchs_tensors_and_streams(labelled):
    import torch

    mask = torch.from_numpy(MASK).cuda()
    torch.cuda.synchronize()
    for stream in (torch.cuda.default_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            labels, count = ops.label_components(mask.clone())
            assert count == labelled[1]
            assert np.array_equal(torch.from_dlpack(labels).cpu().numpy(), labelled[0])


def test_a_device_array_is_lent_by_dlpack(labelled):
    import torch

    stream = torch.cuda.Stream()
    [array] = _core_results(torch.from_numpy(MASK).cuda(), stream)
    assert np.array_equal(torch.from_dlpack(array).cpu().numpy(), labelled[0])


def _core_results(mask, stream):
    """As where CuPy cannot be imported."""
    import torch

    cupy = sys.modules.pop("cupy", None)
    sys.modules["cupy"] = None
    try:
        torch.cuda.synchronize()
        return [ops.label_components(mask, stream=stream)[0]]
    finally:
        del sys.modules["cupy"]
        if cupy is not None:
            sys.modules["cupy"] = cupy


def test_noise_of_a_films_size_is_labelled_like_on_the_cpu():
    import cupy

    values = np.random.default_rng(0).random((4096, 3328), np.float32)
    settings = {"low": 0.6, "high": 0.9, "min_area": 8}
    found, wanted = ops.find_lesions(cupy.asarray(values), **settings), ops.find_lesions(values, **settings)
    assert np.array_equal(found.area, wanted.area) and np.array_equal(found.bounding_box, wanted.bounding_box)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-6)
    (labels, count), (wanted, wanted_count) = (
        ops.label_components(m) for m in (cupy.asarray(values > 0.5), values > 0.5)
    )
    assert count == wanted_count and np.array_equal(labels.get(), wanted)
