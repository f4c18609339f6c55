"""The line on a GPU, from pixels to maps, under the emulation: equal to the CPU's, recorded once, nothing allocated."""

from __future__ import annotations

import ctypes
import threading

import fake_cuda
import numpy as np
import pytest
from fake_tensorrt.library import build_library
from fake_tensorrt.package import write_plan

from lcx_fast import EngineError, InvalidArgument

TILE = 32
CHANNELS = [(6.0, -1.0), (-4.0, 1.5)]
LESIONS = {"low": 0.6, "high": 0.8, "min_area": 6}
NORMALISATION = (300.0, 2500.0, 0.25, 1.5)


@pytest.fixture(scope="module")
def core():
    return fake_cuda.core()


@pytest.fixture(scope="module")
def engine(core):
    library = build_library()
    ctypes.CDLL(library).fake_set_launch(ctypes.c_void_p(core.emulation.launch_as_kernel))
    return core.TensorRtEngine(library_path=library, plan=write_plan(TILE, TILE, CHANNELS), device=0)


@pytest.fixture(params=fake_cuda.SCHEDULES, ids=lambda s: f"{s[0]} {s[1]}")
def schedule(core, request):
    core.emulation.set_schedule(*request.param)
    yield
    core.emulation.set_schedule("in order")


@pytest.fixture
def line(core, engine):
    return core.DeviceLine(engine, weights="gaussian", threads=2)


def averages(core, image, scale):
    """The whole image on a grid, by the CPU."""
    side = tuple(int(np.ceil(n / s)) + 1 for n, s in zip(image.shape, scale, strict=True))
    grid = core.plan_tiles(image.shape, scale=scale, tile_shape=side, overlap=0.0, mask=None)
    tile = core.extract_tiles(image, grid, normalisation=None, mask=None, out=None, threads=1)
    return tile[0, 0, : grid.shape[0], : grid.shape[1]]


def plan(core, image, scale, mask):
    return core.plan_tiles(image.shape, scale=scale, tile_shape=(TILE, TILE), overlap=0.25, mask=mask)


def network(tiles):
    return np.concatenate([1 / (1 + np.exp(-(np.float32(w) * tiles + np.float32(b)))) for w, b in CHANNELS], axis=1)


def expected_maps(core, image, grid, mask):
    tiles = core.extract_tiles(image, grid, normalisation=NORMALISATION, mask=mask, out=None, threads=1)
    return core.blend_tiles(network(tiles), grid, weights="gaussian", mask=mask, threads=1)


def film(shape, seed=0, dtype=np.uint16):
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    smooth = 1500 + 1400 * np.sin(y / 17 + seed) * np.cos(x / 23) + rng.normal(0, 50, shape)
    return (np.clip(smooth, 0, 4000) / (16 if dtype == np.uint8 else 1)).astype(dtype)


def breast(shape, fraction=0.6):
    y, x = np.indices(shape) + 0.5
    return np.hypot(y - shape[0] / 2, x) < fraction * shape[0]


def run(line, core, image, scale=(2.5, 2.0), mask=None):
    coarse = line.average(image, coarse_scale=(4.0, 4.0), grid_scale=scale)
    mask = breast(coarse.shape) if mask is None else mask
    grid = plan(core, image, scale, mask)
    maps, lesions = line.infer(grid, normalisation=NORMALISATION, mask=mask, **LESIONS)
    check_lesions(core, maps, lesions)
    return coarse, maps, grid, mask


def check_lesions(core, maps, lesions):
    """That the lesions are those the CPU finds on the same map."""
    wanted = core.find_lesions(maps[0], fill_holes=True, threads=1, stream=None, **LESIONS)
    assert set(lesions) == set(wanted)
    for name in ("area", "bounding_box"):
        np.testing.assert_array_equal(lesions[name], wanted[name])
    for name in ("centroid", "mean", "max", "top_mean"):
        np.testing.assert_allclose(lesions[name], wanted[name], rtol=1e-6)
    for points_or_offsets, other in zip(lesions["outlines"], wanted["outlines"], strict=True):
        np.testing.assert_allclose(points_or_offsets, other, rtol=1e-6)


def test_equal_to_the_cpu_under_every_schedule(core, line, schedule):
    image = film((190, 133))
    coarse, maps, grid, mask = run(line, core, image)
    assert len(grid) > 3
    np.testing.assert_allclose(coarse, averages(core, image, (4.0, 4.0)), rtol=1e-6)
    np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)
    assert (maps == 0).any() and maps.max() > 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("view", [np.s_[:, :], np.s_[::-1, ::2], np.s_[1:, 3:-1]])
def test_pixels_of_every_kind(core, line, dtype, view):
    image = film((90, 120), dtype=dtype)[view]
    _, maps, grid, mask = run(line, core, image)
    np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 1), (31, 32), (64, 65), (257, 40)])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.75), (3.3, 3.3)])
def test_awkward_sizes(core, line, shape, scale):
    image = film(shape)
    _, maps, grid, mask = run(line, core, image, scale, np.ones((3, 2), bool))
    np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)


def test_recorded_once_then_replayed_without_allocating(core, line):
    run(line, core, film((190, 133)))
    assert line.graphs_recorded == 2
    before = core.emulation.counters()
    for seed in range(1, 5):
        image = film((190, 133), seed)
        mask = breast((48, 34), 0.6 - 0.01 * seed)
        _, maps, grid, _ = run(line, core, image, mask=mask)
        np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)
    after = core.emulation.counters()
    assert line.graphs_recorded == 2
    assert after["allocations"] == before["allocations"]
    assert after["graphs"] - before["graphs"] == 2 * 4  # two a film
    assert after["waits"] - before["waits"] == 2 * 4


def test_another_number_of_tiles_is_another_graph(core, line):
    image = film((190, 133))
    run(line, core, image)
    corners = [np.s_[:4, :4], np.s_[-4:, -4:], np.s_[-4:, :4]]
    for corner in corners:  # other tiles, but as many: the same graph
        few = np.zeros((48, 34), bool)
        few[corner] = True
        _, maps, grid, mask = run(line, core, image, mask=few)
        assert len(grid) == 1 and line.graphs_recorded == 3
        np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)
    _, nothing, grid, _ = run(line, core, image, mask=np.zeros((48, 34), bool))
    assert len(grid) == 0 and not nothing.any()
    run(line, core, image)
    assert line.graphs_recorded == 3


def test_more_sizes_and_patterns_than_are_kept(core, line):
    rng = np.random.default_rng(0)
    for _ in range(2):
        for height in range(60, 67):
            image = film((height, 70), height)
            _, maps, grid, mask = run(line, core, image, (1.0, 1.0))
            np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)
    image = film((190, 133))
    for _ in range(40):
        mask = rng.random((6, 5)) < 0.4
        _, maps, grid, _ = run(line, core, image, (1.5, 1.0), mask)
        np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)


def test_more_lesions_than_fit_into_a_graph(core, line):
    rng = np.random.default_rng(0)
    image = np.where(rng.random((150, 160)) < 0.2, 4000, 0).astype(np.uint16)
    mask = np.ones((4, 4), bool)
    line.average(image, coarse_scale=(4.0, 4.0), grid_scale=(1.0, 1.0))
    grid = plan(core, image, (1.0, 1.0), mask)
    specks = {"low": 0.5, "high": 0.5, "min_area": 1}
    maps, lesions = line.infer(grid, normalisation=NORMALISATION, mask=mask, **specks)
    wanted = core.find_lesions(maps[0], fill_holes=True, threads=1, stream=None, **specks)
    assert len(wanted["area"]) > 2**9
    np.testing.assert_array_equal(lesions["area"], wanted["area"])


def test_a_larger_mask_later(core, line):
    image = film((190, 133))
    for shape in [(4, 3), (190, 133), (4, 3)]:
        mask = breast(shape)
        _, maps, grid, _ = run(line, core, image, mask=mask)
        np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_refused(core, line):
    image = film((90, 80))
    mask = np.ones((2, 2), bool)
    grid = plan(core, image, (2.5, 2.0), mask)
    with pytest.raises(InvalidArgument, match="not that of the image last averaged"):
        line.infer(grid, normalisation=NORMALISATION, mask=mask, **LESIONS)
    line.average(image, coarse_scale=(4.0, 4.0), grid_scale=(2.5, 2.0))
    for other in (plan(core, image, (2.0, 2.0), mask), plan(core, film((91, 80)), (2.5, 2.0), mask)):
        with pytest.raises(InvalidArgument, match="not that of the image last averaged"):
            line.infer(other, normalisation=NORMALISATION, mask=mask, **LESIONS)
    small = core.plan_tiles(image.shape, scale=(2.5, 2.0), tile_shape=(16, 16), overlap=0.25, mask=mask)
    with pytest.raises(InvalidArgument, match=r"tiles are \[16, 16\]; the network's input is"):
        line.infer(small, normalisation=NORMALISATION, mask=mask, **LESIONS)
    with pytest.raises(InvalidArgument, match="mask is empty"):
        line.infer(grid, normalisation=NORMALISATION, mask=np.zeros((0, 2), bool), **LESIONS)
    with pytest.raises(InvalidArgument, match=r"thresholds low 0\.9"):
        line.infer(grid, normalisation=NORMALISATION, mask=mask, low=0.9, high=0.8, min_area=1)
    with pytest.raises(InvalidArgument, match="normalisation: low 3"):
        line.infer(grid, normalisation=(3, 3, 0, 1), mask=mask, **LESIONS)
    for bad in (np.zeros((0, 5), np.uint16), np.zeros((2, 2, 2), np.uint16), np.zeros((2, 2), np.float64)):
        with pytest.raises(InvalidArgument):
            line.average(bad, coarse_scale=(4.0, 4.0), grid_scale=(2.5, 2.0))
    with pytest.raises(InvalidArgument, match="scale 0"):
        line.average(image, coarse_scale=(0.0, 4.0), grid_scale=(2.5, 2.0))
    np.testing.assert_allclose(  # and it still works
        line.infer(grid, normalisation=NORMALISATION, mask=mask, **LESIONS)[0],
        expected_maps(core, image, grid, mask),
        rtol=1e-4,
    )


def test_a_network_that_fails_is_told_and_the_line_goes_on(core):
    broken = build_library("FAKE_ENQUEUE_FAILS")
    engine = core.TensorRtEngine(library_path=broken, plan=write_plan(TILE, TILE, CHANNELS), device=0)
    line = core.DeviceLine(engine, weights="constant")
    for _ in range(2):
        with pytest.raises(EngineError, match="the stream is upside down"):
            run(line, core, film((90, 80)))


def test_a_network_in_python_is_recorded_and_not_called_again(core, engine):
    calls = []

    def enqueue(source, target, stream):
        calls.append(stream)
        if len(calls) == 3:
            raise ValueError("not now")
        engine.enqueue(source, target, stream)

    line = core.DeviceLine(
        enqueue, input_shape=(1, 1, TILE, TILE), output_shape=(1, 2, TILE, TILE), device=0, weights="gaussian"
    )
    image = film((190, 133))
    with pytest.raises(ValueError, match="not now"):  # recording, it fails halfway
        run(line, core, image)
    _, maps, grid, mask = run(line, core, image)
    np.testing.assert_allclose(maps, expected_maps(core, image, grid, mask), rtol=1e-4, atol=1e-6)
    count = len(calls)
    run(line, core, image)
    assert len(calls) == count and len(set(calls)) == 1
    with pytest.raises(InvalidArgument, match=r"needed: \[1, 1, h, w\]"):
        core.DeviceLine(enqueue, input_shape=(2, 1, 8, 8), output_shape=(2, 2, 8, 8), device=0, weights="gaussian")


def test_several_lines_at_once(core, engine):
    films = [film((120, 90), seed) for seed in range(4)]
    got, errors = {}, []

    def work(k):
        try:
            line = core.DeviceLine(engine, weights="gaussian", threads=1)
            for seed in (k, (k + 1) % 4, k):
                got[k, seed] = run(line, core, films[seed])
        except Exception as error:  # told below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for (_, seed), (_, maps, grid, mask) in got.items():
        np.testing.assert_allclose(maps, expected_maps(core, films[seed], grid, mask), rtol=1e-4, atol=1e-6)


def test_a_line_gives_back_what_it_took(core, engine):
    before = core.emulation.counters()["live"]
    line = core.DeviceLine(engine, weights="gaussian")
    run(line, core, film((120, 90)))
    assert core.emulation.counters()["live"] > before
    del line
    assert core.emulation.counters()["live"] == before


def test_a_build_without_cuda_says_so():
    from lcx_fast import Unsupported, _core

    if _core.has_cuda:
        pytest.skip("this build has CUDA")
    with pytest.raises(Unsupported, match="this build has no CUDA"):
        _core.DeviceLine(print, input_shape=(1, 1, 8, 8), output_shape=(1, 2, 8, 8), device=0, weights="gaussian")
