"""The reader and evaluation of COCO files under AddressSanitizer and UBSan: no file makes them do what C++ forbids."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from coco_cases import random_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
SOURCES = [
    ROOT / "tests/coco_reader/damage.cpp",
    *(ROOT / f"csrc/evaluation/{name}.cpp" for name in ("json_reader", "coco_dataset", "coco_json", "coco_groups")),
    *(ROOT / f"csrc/evaluation/{name}.cpp" for name in ("coco_match", "coco_evaluate")),
    *(ROOT / f"csrc/core/{name}.cpp" for name in ("column_runs", "column_polygon", "parallel_for")),
]

pytestmark = [
    pytest.mark.slow,
    # pycocotools decodes masks in a way that NumPy 2 warns about.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    program = tmp_path_factory.mktemp("damage") / "damage"
    flags = ["-std=c++20", "-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-pthread"]
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, *flags, f"-I{ROOT / 'csrc'}", *map(str, SOURCES), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return program


def run(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=240)


def write_pair(folder, reference, predictions):
    paths = folder / "whole-reference.json", folder / "whole-predictions.json"
    for path, value in zip(paths, (reference, predictions), strict=True):
        path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return paths


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_do_no_harm(program, tmp_path, seed):
    sets = random_dataset(np.random.default_rng(seed), images=3, segm=True)
    done = run(program, *write_pair(tmp_path, *sets), tmp_path, seed, 800)
    assert done.returncode == 0, done.stderr
    _, read, _, refused = done.stdout.split()
    assert int(read) > 25 and int(refused) > 250  # both ways were taken


#: Values that may stand where COCO wants something else.
NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([2**31, 2**32 - 1, 2**32, 2**63 - 1, -(2**63), 2**64, 1e308, -1e308, 1e-320, 0.5]),
)
STRINGS = st.sampled_from(["", "0", "05", "a", "\u0000", "`" * 40, "oooooooooooo", "PPYo1", "\ud800"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, STRINGS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["size", "counts"]), inner)),
    max_leaves=8,
)
SEGMENTATIONS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"size": st.lists(NUMBERS, min_size=2, max_size=2), "counts": STRINGS | st.lists(NUMBERS, max_size=6)}
    ),
    st.just({"size": [9, 9], "counts": [10, 5, 66]}),
    st.lists(st.lists(NUMBERS, min_size=4, max_size=9), min_size=1, max_size=3),
)
ONE = st.sampled_from([1, 1, 1, 2])


def members(**optional):
    return st.fixed_dictionaries({"image_id": ONE, "category_id": ONE}, optional=optional)


ANNOTATIONS = members(
    segmentation=SEGMENTATIONS,
    bbox=st.lists(NUMBERS, min_size=4, max_size=4) | VALUES,
    area=NUMBERS | VALUES,
    iscrowd=st.integers(0, 1) | VALUES,
    score=NUMBERS,
)
IMAGES = st.lists(st.fixed_dictionaries({"id": ONE}, optional={"height": NUMBERS, "width": NUMBERS}), max_size=3)
KINDS = st.lists(st.fixed_dictionaries({"id": ONE}, optional={"name": STRINGS | VALUES}), max_size=3)


@pytest.mark.timeout(900)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(IMAGES, KINDS, st.lists(ANNOTATIONS, max_size=4), st.lists(ANNOTATIONS, max_size=4))
def test_odd_values_do_no_harm(program, tmp_path_factory, images, kinds, references, predictions):
    folder = tmp_path_factory.mktemp("odd")
    images = images or [{"id": 1, "height": 9, "width": 9}]
    paths = write_pair(folder, {"images": images, "categories": kinds, "annotations": references}, predictions)
    done = run(program, *paths)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "read\n" or done.stdout.startswith("refused: "), done.stdout


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b'{"a',
        b'{"a": "\\',
        b'{"a": "\\u',
        b'{"a": "\\ud800\\u',
        b'{"images": [{"id": -',
        b'{"a": 1e',
        b"\xef\xbb",
    ],
)
def test_texts_that_end_too_soon_are_not_read_beyond(program, tmp_path, text):
    done = run(program, *write_pair(tmp_path, text, []))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refused: ")


def test_a_text_without_zeros_behind_it_is_seen(program):
    done = run(program, "overrun")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
