"""The line on a GPU, from pixels to maps, under the emulation: equal to the CPU's, recorded once, nothing allocated."""

from __future__ import annotations

import ctypes
import threading

import fake_cuda
import numpy as np
import pytest
from at_once import errors_at_once
from fake_tensorrt.library import build_library
from fake_tensorrt.package import write_plan

from lcx_fast import EngineError, InvalidArgument, preprocess

TILE = 32
CHANNELS = [(6.0, -1.0), (-4.0, 1.5)]
LESIONS = {"low": 0.6, "high": 0.8, "min_area": 6}
SETTINGS = {
    "coarse_scale": (4.0, 4.0),
    "overlap": 0.25,
    "percentiles": (1.0, 99.0),
    "mean": 0.25,
    "deviation": 1.5,
}


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


def expected_maps(core, image, grid, window, mask):
    normalisation = (*window, SETTINGS["mean"], SETTINGS["deviation"])
    tiles = core.extract_tiles(image, grid, normalisation=normalisation, mask=mask, out=None, threads=1)
    return core.blend_tiles(network(tiles), grid, weights="gaussian", mask=mask, threads=1)


def film(shape, seed=0, dtype=np.uint16, reach=0.45):
    """A textured half disc on black: ``reach`` of the longer side."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    smooth = 1700 + 1200 * np.sin(y / 17 + seed) * np.cos(x / 23) + rng.normal(0, 50, shape)
    inside = np.hypot(y - shape[0] / 2, x) < reach * max(shape)
    return (np.where(inside, np.clip(smooth, 200, 4000), 0) / (16 if dtype == np.uint8 else 1)).astype(dtype)


def run(line, core, image, scale=(2.5, 2.0), **changes):
    """One film, all of it compared with the CPU's; the grid, the mask, the maps."""
    settings = SETTINGS | LESIONS | changes
    grid, window, mask, maps, lesions = line.run(image, grid_scale=scale, **settings)
    coarse = averages(core, image, settings["coarse_scale"])
    np.testing.assert_array_equal(mask, core.breast_mask(coarse))
    low, high = settings["percentiles"]
    wanted = preprocess.window_of(preprocess.CoarseView(coarse, mask), low_percentile=low, high_percentile=high)
    np.testing.assert_array_equal(window, np.float32(wanted))
    planned = plan(core, image, scale, mask)
    assert len(grid) == len(planned)
    np.testing.assert_array_equal(grid.origins, planned.origins)
    np.testing.assert_allclose(maps, expected_maps(core, image, grid, window, mask), rtol=1e-4, atol=1e-6)
    check_lesions(core, maps, lesions)
    return grid, mask, maps


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


@pytest.mark.parametrize("conditional", [True, False])
def test_equal_to_the_cpu_under_every_schedule(core, line, schedule, conditional):
    core.emulation.forbid_conditional_nodes(not conditional)
    try:
        grid, mask, maps = run(line, core, film((190, 133)))
    finally:
        core.emulation.forbid_conditional_nodes(False)
    assert line.counts_tiles == conditional
    assert len(grid) > 3 and mask.any() and not mask.all()
    assert (maps == 0).any() and maps.max() > 0.5


@pytest.mark.parametrize("value", [700.0, 3e8])
def test_one_value_has_a_window(core, line, value):
    run(line, core, np.where(film((190, 133)) > 0, value, 0).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("view", [np.s_[:, :], np.s_[::-1, ::2], np.s_[1:, 3:-1]])
def test_pixels_of_every_kind(core, line, dtype, view):
    run(line, core, film((90, 120), dtype=dtype)[view])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 1), (31, 32), (64, 65), (257, 40)])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.75), (3.3, 3.3)])
def test_awkward_sizes(core, line, shape, scale):
    run(line, core, film(shape), scale)
    run(line, core, film(shape, reach=2), scale)


def test_the_network_runs_only_for_tiles_that_meet_the_breast(core, line):
    image = film((190, 133))
    grid, *_ = run(line, core, image, (1.0, 1.0))
    launches = []
    for reach in (0.45, 0.2, 0.45):
        image = film((190, 133), reach=reach)
        run(line, core, image, (1.0, 1.0))
        before = core.emulation.counters()["launches"]
        line.run(image, grid_scale=(1.0, 1.0), **SETTINGS, **LESIONS)
        launches.append(core.emulation.counters()["launches"] - before)
    assert line.graphs_recorded == 1
    fewer, *_ = run(line, core, film((190, 133), reach=0.2), (1.0, 1.0))
    assert launches[0] == launches[2]
    assert launches[0] - launches[1] == 4 * (len(grid) - len(fewer)) > 0  # cut, network, keep, count


def test_recorded_once_then_replayed_without_allocating(core, line):
    run(line, core, film((190, 133)))
    assert line.graphs_recorded == 1
    images = [film((190, 133), seed, reach=0.5 - 0.05 * seed) for seed in range(1, 5)]
    before = core.emulation.counters()
    for image in images:
        line.run(image, grid_scale=(2.5, 2.0), **SETTINGS, **LESIONS)
    after = core.emulation.counters()
    assert line.graphs_recorded == 1
    assert after["allocations"] == before["allocations"]
    assert after["graphs"] - before["graphs"] == after["waits"] - before["waits"] == len(images)
    for image in images:
        run(line, core, image)


def test_films_without_a_breast_and_with_nothing_else(core, line):
    grid, mask, maps = run(line, core, np.zeros((190, 133), np.uint16))
    assert len(grid) == 0 and not mask.any() and not maps.any()
    noise = np.random.default_rng(0).integers(500, 4000, (190, 133)).astype(np.uint16)
    grid, mask, _ = run(line, core, noise)
    assert mask.all() and len(grid) > 3
    assert line.graphs_recorded == 1
    nothing = np.full((90, 80), np.nan, np.float32)
    grid, mask, _ = run(line, core, nothing)
    assert not mask.any()


def test_more_sizes_than_are_kept(core, line):
    for _ in range(2):
        for height in range(60, 67):
            run(line, core, film((height, 70), height), (1.0, 1.0))
    assert line.graphs_recorded == 14
    assert line.device_bytes > 4 * 60 * 70 * 2 and line.pinned_bytes > 4 * 60 * 70 * 2
    most = line.device_bytes
    for height in range(60, 67):
        run(line, core, film((height, 70), height), (1.0, 1.0))
        assert line.device_bytes <= 1.2 * most


def test_other_settings_are_another_graph(core, line):
    image = film((190, 133))
    for count, changes in enumerate(({}, {"percentiles": (5.0, 90.0)}, {"low": 0.5, "min_area": 20}), start=1):
        *_, maps, lesions = line.run(image, grid_scale=(2.5, 2.0), **(SETTINGS | LESIONS | changes))
        wanted = core.find_lesions(
            maps[0],
            fill_holes=True,
            threads=1,
            stream=None,
            **(LESIONS | {k: changes[k] for k in changes if k in LESIONS}),
        )
        np.testing.assert_array_equal(lesions["area"], wanted["area"])
        assert line.graphs_recorded == count
    run(line, core, image)
    assert line.graphs_recorded == 3


def test_more_lesions_than_fit_into_a_graph(core, line):
    rng = np.random.default_rng(0)
    image = np.where(rng.random((150, 160)) < 0.2, 4000, rng.integers(200, 300, (150, 160))).astype(np.uint16)
    specks = {"low": 0.5, "high": 0.5, "min_area": 1}
    *_, maps, lesions = line.run(image, grid_scale=(1.0, 1.0), **SETTINGS, **specks)
    wanted = core.find_lesions(maps[0], fill_holes=True, threads=1, stream=None, **specks)
    assert len(wanted["area"]) > 2**9
    np.testing.assert_array_equal(lesions["area"], wanted["area"])


def test_what_does_not_fit_is_refused(core, line):
    image = film((90, 80))
    for bad, words in (
        ({"low": 0.9, "high": 0.8}, r"thresholds low 0\.9"),
        ({"percentiles": (-1.0, 99.0)}, "percentile -1"),
        ({"deviation": 0.0}, "deviation 0"),
        ({"grid_scale": (0.0, 4.0)}, "scale 0"),
        ({"overlap": 1.0}, "overlap 1"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            line.run(image, **({"grid_scale": (2.5, 2.0)} | SETTINGS | LESIONS | bad))
    for wrong in (np.zeros((0, 5), np.uint16), np.zeros((2, 2, 2), np.uint16), np.zeros((2, 2), np.float64)):
        with pytest.raises(InvalidArgument):
            line.run(wrong, grid_scale=(2.5, 2.0), **SETTINGS, **LESIONS)
    run(line, core, image)  # and it still works


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
        if len(calls) in (2, 3):  # the loop's first form and its second
            raise ValueError("not now")
        engine.enqueue(source, target, stream)

    line = core.DeviceLine(
        enqueue, input_shape=(1, 1, TILE, TILE), output_shape=(1, 2, TILE, TILE), device=0, weights="gaussian"
    )
    image = film((190, 133))
    with pytest.raises(ValueError, match="not now"):  # recording, it fails
        run(line, core, image)
    run(line, core, image)
    count = len(calls)
    run(line, core, image)
    assert len(calls) == count and len(set(calls)) == 1
    with pytest.raises(InvalidArgument, match=r"needed: \[1, 1, h, w\]"):
        core.DeviceLine(enqueue, input_shape=(2, 1, 8, 8), output_shape=(2, 2, 8, 8), device=0, weights="gaussian")


def test_a_network_that_a_loops_body_cannot_hold_is_recorded_turn_by_turn(core, engine):
    """Whatever words it has for that."""
    calls = []

    def enqueue(source, target, stream):
        calls.append(stream)
        if len(calls) == 2:
            raise RuntimeError("operation not permitted when stream is capturing")
        engine.enqueue(source, target, stream)

    shapes = {"input_shape": (1, 1, TILE, TILE), "output_shape": (1, 2, TILE, TILE)}
    line = core.DeviceLine(enqueue, **shapes, device=0, weights="gaussian")
    grid, *_ = run(line, core, film((190, 133)))
    assert len(grid) > 3 and not line.counts_tiles and line.graphs_recorded == 1


def test_a_network_is_warm_in_the_thread_that_records_it(core, engine):
    """Torch, for one, keeps something for each thread, which it cannot make while it is recorded."""
    warm, wrong = set(), []

    def enqueue(source, target, stream):
        if threading.get_ident() not in warm and core.emulation.is_capturing(stream):
            wrong.append(stream)
        warm.add(threading.get_ident())
        engine.enqueue(source, target, stream)

    shapes = {"input_shape": (1, 1, TILE, TILE), "output_shape": (1, 2, TILE, TILE)}
    line = core.DeviceLine(enqueue, **shapes, device=0, weights="gaussian")
    run(line, core, film((190, 133)))
    other = threading.Thread(target=run, args=(line, core, film((120, 90))))
    other.start()
    other.join()
    assert line.graphs_recorded == 2 and len(warm) == 2 and not wrong


def test_several_lines_at_once(core, engine):
    films = [film((120, 90), seed) for seed in range(4)]
    got = set()

    def work(k):
        line = core.DeviceLine(engine, weights="gaussian", threads=1)
        for seed in (k, (k + 1) % 4, k):
            run(line, core, films[seed])
            got.add((k, seed))

    assert not errors_at_once(work)
    assert len(got) == 8


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
