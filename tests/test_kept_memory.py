"""Large results take memory that earlier ones left: never of one that is in use, and cleared where zeros are due."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from at_once import errors_at_once

from lcx_fast import ops

SIDE = 2200  # squared, more than 2 MiB


@pytest.fixture(autouse=True)
def nothing_kept():
    gc.collect()
    ops.release_memory()
    yield
    gc.collect()
    ops.release_memory()


def test_a_result_of_the_same_size_takes_the_memory_and_is_cleared():
    full, empty = np.ones((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    filled = ops.fill_holes(full)
    assert filled.all()
    address = filled.ctypes.data
    del filled
    again = ops.fill_holes(empty)
    assert again.ctypes.data == address
    assert not again.any()
    labels, count = ops.label_components(full)
    assert count == 1
    assert (labels == 1).all()
    del labels
    labels, count = ops.label_components(empty)
    assert count == 0
    assert not labels.any()


def test_memory_in_use_is_never_given_twice():
    masks = [np.full((SIDE, SIDE), k % 2, np.uint8) for k in range(7)]
    results = [ops.fill_holes(mask) for mask in masks]
    views = [result[5:] for result in results]
    assert len({result.ctypes.data for result in results}) == len(results)
    del results
    more = [ops.fill_holes(np.ones((SIDE, SIDE), np.uint8)) for _ in range(3)]  # noqa: F841, takes any that is free
    for k, view in enumerate(views):
        assert (view == bool(k % 2)).all()


def test_what_is_kept_is_bounded_and_given_back_on_demand():
    results = [ops.fill_holes(np.ones((SIDE, SIDE), np.uint8)) for _ in range(12)]
    gc.collect()
    ops.release_memory()  # what filling worked in
    size = results[0].nbytes
    assert ops.release_memory() == 0
    del results
    gc.collect()
    assert 8 * size <= ops.release_memory() <= 8 * (size + 4096)
    assert ops.release_memory() == 0


def test_small_results_are_not_kept():
    ops.fill_holes(np.ones((100, 100), np.uint8))
    assert ops.release_memory() == 0


def test_threads_that_take_and_leave_memory_get_their_own():
    failures = []

    def work(k):
        value = k % 2
        mask = np.full((SIDE, SIDE), value, np.uint8)
        for _ in range(10):
            if not (ops.fill_holes(mask, threads=1) == bool(value)).all():
                failures.append(value)

    assert not errors_at_once(work)
    assert not failures
