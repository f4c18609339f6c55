"""The composed grey-scale table against the formulas of PS3.3, one value at a time."""

from __future__ import annotations

import math
from typing import Any

import dicom_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lcx_fast.dicom.read import read_dicom
from lcx_fast.dicom.voi import Window
from lcx_fast.mammogram import Mammogram

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def linear(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1, ymin 0, ymax 1."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.2."""
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


def sigmoid(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.1."""
    return 1 / (1 + math.exp(min(700.0, -4 * (x - c) / w)))


FORMULAS = {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}


def to_16_bits(values: list[float]) -> NDArray[np.uint16]:
    return np.array([math.floor(65535 * value + 0.5) for value in values], np.uint16)


def read(pixels: NDArray[Any] = RAMP, **attributes: Any) -> Mammogram:
    return read_dicom(files.make_file(pixels, **attributes))


def lut_item(entries: NDArray[Any], *, first: int = 0, bits: int = 16, vr: str = "US") -> Dataset:
    item = Dataset()
    count = len(entries) & 0xFFFF
    item.add(DataElement(0x00283002, "US" if first >= 0 else "SS", [count, first, bits]))
    packed = entries.astype(np.uint8 if bits <= 8 else "<u2").tobytes()
    value: Any = packed + b"\0" * (len(packed) % 2) if vr == "OW" else [int(entry) for entry in entries]
    item.add(DataElement(0x00283006, vr, value))
    return item


@settings(max_examples=60, deadline=None)
@given(
    center=st.floats(-5000, 70000),
    width=st.floats(1, 70000),
    function=st.sampled_from(sorted(FORMULAS)),
    values=st.lists(st.integers(-40000, 65535), min_size=1, max_size=40),
)
def test_windows_follow_the_standard(center: float, width: float, function: Any, values: list[int]) -> None:
    expected = [FORMULAS[function](x, center, width) for x in values]
    got = Window(center, width, function)(np.array(values, np.float64))
    assert np.allclose(got, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("function", [None, *FORMULAS])
@pytest.mark.parametrize("photometric", ("MONOCHROME1", "MONOCHROME2"))
@pytest.mark.parametrize(("center", "width"), ((2048, 4096), (1800.5, 700), (10, 1), (4000, 3000)))
def test_windowed_files(function: str | None, photometric: str, center: float, width: float) -> None:
    mammogram = read(
        WindowCenter=center, WindowWidth=width, VOILUTFunction=function, PhotometricInterpretation=photometric
    )
    expected = [FORMULAS[function or "LINEAR"](x, center, width) for x in range(4096)]
    if photometric == "MONOCHROME1":
        expected = [1 - value for value in expected]
    assert mammogram.pixels.dtype == np.uint16
    difference = mammogram.pixels.reshape(-1).astype(int) - to_16_bits(expected)
    assert np.abs(difference).max() <= 1  # 1 - y rounds its halves the other way


def test_rescale_goes_before_the_window() -> None:
    pixels = read(WindowCenter=500, WindowWidth=900, RescaleSlope=0.5, RescaleIntercept=-100).pixels
    assert np.array_equal(pixels.reshape(-1), to_16_bits([linear(x * 0.5 - 100, 500, 900) for x in range(4096)]))


def test_the_first_of_several_windows_counts() -> None:
    several = read(WindowCenter=[1000, 3000], WindowWidth=[500, 100]).pixels
    assert np.array_equal(several, read(WindowCenter=1000, WindowWidth=500).pixels)


def test_without_transforms_stored_values_are_handed_out() -> None:
    mammogram = read(RescaleSlope=1, RescaleIntercept=0, RescaleType="US")
    assert np.array_equal(mammogram.pixels, RAMP)
    assert mammogram.attributes["grey_scale"] == "stored values"
    assert not mammogram.pixels.flags.owndata  # a view of the file's bytes
    assert np.array_equal(read(RescaleSlope=2, RescaleIntercept=7).pixels, RAMP)
    assert np.array_equal(read(RescaleSlope=-1, RescaleIntercept=4095).pixels, 4095 - RAMP)


def test_monochrome1_inverts_once() -> None:
    inverted = read(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    assert np.array_equal(inverted.pixels, 4095 - RAMP)
    assert inverted.warnings == ()
    identity = read(PresentationLUTShape="IDENTITY")
    assert np.array_equal(identity.pixels, RAMP)
    for photometric, shape in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")):
        odd = read(PhotometricInterpretation=photometric, PresentationLUTShape=shape)
        assert np.array_equal(odd.pixels, RAMP if photometric == "MONOCHROME2" else 4095 - RAMP)
        assert any("PresentationLUTShape" in warning for warning in odd.warnings)


def test_signed_values_in_a_window() -> None:
    stored = (RAMP.astype(np.int32) - 2048).astype(np.int16)
    pixels = read(stored, WindowCenter=-100, WindowWidth=1000).pixels
    assert np.array_equal(pixels.reshape(-1), to_16_bits([linear(x - 2048, -100, 1000) for x in range(4096)]))


@pytest.mark.parametrize("photometric", ("MONOCHROME1", "MONOCHROME2"))
@pytest.mark.parametrize("window", ({}, {"WindowCenter": 2000, "WindowWidth": 3000}))
@pytest.mark.parametrize(("value", "limit"), ((0, None), (4095, None), (100, 200), (200, 100), (4000, 4095)))
def test_padding_is_darkest(photometric: str, window: dict[str, int], value: int, limit: int | None) -> None:
    attributes = {"PhotometricInterpretation": photometric, **window}
    plain = read(**attributes).pixels
    limited = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    padded = read(**attributes, PixelPaddingValue=value, **limited).pixels
    low, high = sorted((value, value if limit is None else limit))
    inside = (low <= RAMP) & (high >= RAMP)
    assert not padded[inside].any()
    assert np.array_equal(padded[~inside], plain[~inside])


def test_padding_of_signed_values() -> None:
    stored = (RAMP.astype(np.int32) - 2048).astype(np.int16)
    pixels = read(stored, PixelPaddingValue=-1).pixels
    assert np.array_equal(pixels, np.where(stored == -1, 0, RAMP))


@pytest.mark.parametrize("vr", ("US", "OW"))
@pytest.mark.parametrize("bits", (8, 12, 16))
@pytest.mark.parametrize("first", (0, 500))
def test_voi_lut(vr: str, bits: int, first: int) -> None:
    entries = np.linspace(0, 2**bits - 1, 1001).astype(np.uint16)[::-1]
    item = lut_item(entries, first=first, bits=bits, vr=vr)
    mammogram = read(VOILUTSequence=Sequence([item]), WindowCenter=1, WindowWidth=1)
    at = [entries[min(max(x - first, 0), 1000)] / (2**bits - 1) for x in range(4096)]
    assert np.array_equal(mammogram.pixels.reshape(-1), to_16_bits(at))
    assert mammogram.warnings == ()


def test_modality_lut_and_signed_first_value() -> None:
    stored = (RAMP.astype(np.int32) - 2048).astype(np.int16)
    entries = (np.arange(4096)[::-1] * 4).astype(np.uint16)
    item = lut_item(entries, first=-2048, bits=14)
    assert np.array_equal(read(stored, ModalityLUTSequence=Sequence([item])).pixels.reshape(-1), entries)
    windowed = read(stored, ModalityLUTSequence=Sequence([item]), WindowCenter=9000, WindowWidth=5000).pixels
    assert np.array_equal(windowed.reshape(-1), to_16_bits([linear(x, 9000, 5000) for x in entries.tolist()]))


def test_a_lut_of_65536_entries() -> None:
    entries = (np.arange(65536) ^ 0xFFFF).astype(np.uint16)
    mammogram = read(VOILUTSequence=Sequence([lut_item(entries, vr="OW")]))
    assert np.array_equal(mammogram.pixels, 65535 - RAMP)


@pytest.mark.parametrize(
    "bad",
    (
        {"WindowCenter": 100},
        {"WindowWidth": 100},
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100, "WindowWidth": -5},
        {"WindowCenter": 100, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 100, "WindowWidth": 0.5},
        {"RescaleSlope": 0, "RescaleIntercept": 5},
        {"VOILUTSequence": Sequence([Dataset()])},
        {"ModalityLUTSequence": Sequence([Dataset()])},
        {"VOILUTSequence": Sequence([lut_item(np.arange(5, dtype=np.uint16), bits=0)])},
    ),
)
def test_unusable_transforms_are_left_out_with_a_warning(bad: dict[str, Any]) -> None:
    mammogram = read(**bad)
    assert np.array_equal(mammogram.pixels, RAMP)
    assert any("unusable" in warning for warning in mammogram.warnings)


def test_an_unknown_voi_function_counts_as_linear() -> None:
    mammogram = read(WindowCenter=2000, WindowWidth=900, VOILUTFunction="CUBIC")
    assert np.array_equal(mammogram.pixels, read(WindowCenter=2000, WindowWidth=900).pixels)
    assert any("VOILUTFunction" in warning for warning in mammogram.warnings)


def test_8_bit_samples_widen_in_a_window() -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = read_dicom(files.make_file(stored, bits=8, WindowCenter=128, WindowWidth=256)).pixels
    assert np.array_equal(pixels.reshape(-1), to_16_bits([linear(x, 128, 256) for x in range(256)]))


def test_big_endian_luts() -> None:
    entries = np.linspace(0, 65535, 4096).astype(np.uint16)
    dataset = files.header(RAMP)
    dataset.VOILUTSequence = Sequence([lut_item(entries)])
    data = files.encode_file(dataset, files.native_value(RAMP, files.BIG), files.BIG)
    assert np.array_equal(read_dicom(data).pixels.reshape(-1), entries)
