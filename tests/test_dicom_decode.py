"""Every transfer syntax gives the right pixels, whatever the bits, the fragments and the frames."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dicom_files as files
import imagecodecs
import numpy as np
import pydicom
import pytest

from lcx_fast import _core
from lcx_fast.dicom.read import read_dicom
from lcx_fast.dicom.source import load_bytes
from lcx_fast.errors import DicomError, InvalidArgument

COMPRESSED = (*files.LOSSLESS, *files.LOSSY)
TOLERANCE = {files.JPEG_EXTENDED: 60, files.JPEG_LS_NEAR: 2, files.JPEG_2000: 200, files.HTJ2K: 200}


@pytest.mark.parametrize("syntax", (*files.NATIVE, *files.LOSSLESS))
def test_lossless_syntaxes_give_the_encoded_pixels(syntax: str) -> None:
    image = files.breast()
    mammogram = read_dicom(files.make_file(image, syntax))
    assert mammogram.pixels.dtype == np.uint16
    assert np.array_equal(mammogram.pixels, image)
    assert mammogram.attributes["transfer_syntax_uid"] == syntax


@pytest.mark.parametrize("syntax", files.LOSSY)
def test_lossy_syntaxes_come_close(syntax: str) -> None:
    image = files.breast()
    pixels = read_dicom(files.make_file(image, syntax)).pixels
    assert np.abs(pixels.astype(int) - image).max() <= TOLERANCE[syntax]


def test_jpeg_baseline_has_8_bits() -> None:
    image = (files.breast() >> 4).astype(np.uint8)
    pixels = read_dicom(files.make_file(image, files.JPEG_BASELINE, bits=8)).pixels
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - image).max() <= 16


@pytest.mark.parametrize("bits", (2, 5, 8, 9, 10, 13, 16))
@pytest.mark.parametrize("predictor", (1, 2, 3, 4, 5, 6, 7))
def test_jpeg_lossless_precisions_and_predictors(bits: int, predictor: int) -> None:
    image = files.breast(bits=bits)
    samples = image.astype(np.uint8) if bits <= 8 else image
    stream = imagecodecs.jpeg8_encode(samples, lossless=True, bitspersample=bits, predictor=predictor)
    for stored in (image, samples):
        dataset = files.header(stored, bits=bits)
        data = files.encode_file(dataset, files.encapsulate([bytes(stream)]), files.JPEG_LOSSLESS)
        assert np.array_equal(read_dicom(data).pixels, image)


@pytest.mark.parametrize("shape", ((1, 1), (1, 40), (40, 1), (3, 5), (33, 31)))
@pytest.mark.parametrize("syntax", (*files.NATIVE, *files.LOSSLESS))
def test_awkward_sizes(syntax: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 4096, shape).astype(np.uint16)
    assert np.array_equal(read_dicom(files.make_file(image, syntax)).pixels, image)


@pytest.mark.parametrize("syntax", (files.EXPLICIT, files.BIG, *files.LOSSLESS))
def test_8_bit_samples(syntax: str) -> None:
    image = files.breast(33, 31, bits=8).astype(np.uint8)
    dataset = files.header(image, bits=8)
    if syntax in files.NATIVE:
        data = files.encode_file(dataset, files.native_value(image), syntax, vr="OB")
    else:
        stream = files.compress(image, syntax, bits=8)
        data = files.encode_file(dataset, files.encapsulate([stream]), syntax)
    pixels = read_dicom(data).pixels
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, image)


def test_8_bit_words_of_big_endian_files_are_swapped() -> None:
    image = files.breast(33, 31, bits=8).astype(np.uint8)
    value = np.frombuffer(files.native_value(image), "<u2").astype(">u2").tobytes()
    data = files.encode_file(files.header(image, bits=8), value, files.BIG, vr="OW")
    assert np.array_equal(read_dicom(data).pixels, image)


@pytest.mark.parametrize("syntax", (files.EXPLICIT, files.JPEG_2000_LOSSLESS, files.HTJ2K_LOSSLESS, files.RLE))
def test_signed_samples_become_unsigned_by_an_offset(syntax: str) -> None:
    image = (files.breast().astype(np.int32) - 2048).astype(np.int16)
    pixels = read_dicom(files.make_file(image, syntax, bits=16)).pixels
    assert np.array_equal(pixels, (image.astype(np.int32) + 32768).astype(np.uint16))


def test_signed_samples_of_12_bits() -> None:
    image = (files.breast().astype(np.int32) - 2048).astype(np.int16)
    for spare in (0, 0xF000):  # the bits above BitsStored mean nothing
        stored = ((image.view(np.uint16) & 0xFFF) | spare).view(np.int16)
        assert np.array_equal(read_dicom(files.make_file(stored)).pixels, image + 2048)


def test_samples_in_the_high_bits() -> None:
    image = files.breast()
    data = files.make_file((image << 4) | 5, HighBit=15)
    assert np.array_equal(read_dicom(data).pixels, image)


def test_spare_bits_are_masked() -> None:
    image = files.breast()
    assert np.array_equal(read_dicom(files.make_file(image | 0x8000)).pixels, image)


@pytest.mark.parametrize("preamble", (True, False))
@pytest.mark.parametrize("meta", (True, False))
@pytest.mark.parametrize("syntax", (files.IMPLICIT, files.EXPLICIT))
def test_files_without_preamble_or_meta_information(syntax: str, meta: bool, preamble: bool) -> None:
    image = files.breast()
    value = files.native_value(image)
    data = files.encode_file(files.header(image), value, syntax, preamble=preamble, meta=meta)
    assert np.array_equal(read_dicom(data).pixels, image)


def test_sources(tmp_path: object) -> None:
    from pathlib import Path

    image = files.breast()
    data = files.make_file(image, files.JPEG_LS)
    path = Path(str(tmp_path)) / "film.dcm"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert np.array_equal(read_dicom(source).pixels, image)
    with path.open("rb") as file:
        assert read_dicom(file).name == "film.dcm"
    assert read_dicom(path).sha256 == read_dicom(data).sha256 is not None


@pytest.mark.parametrize("syntax", (*files.NATIVE, *files.LOSSLESS))
def test_data_sets_in_memory(syntax: str) -> None:
    image = files.breast()
    dataset = pydicom.dcmread(io.BytesIO(files.make_file(image, syntax)))
    mammogram = read_dicom(dataset)
    assert np.array_equal(mammogram.pixels, image)
    assert mammogram.sha256 is None


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("pieces", (1, 3))
@pytest.mark.parametrize("offsets", (True, False))
def test_fragments(syntax: str, pieces: int, offsets: bool) -> None:
    image = files.breast()
    stream = files.compress(image, syntax)
    value = files.encapsulate([stream], pieces=pieces, offsets=offsets)
    whole = read_dicom(files.make_file(image, syntax)).pixels
    assert np.array_equal(read_dicom(files.encode_file(files.header(image), value, syntax)).pixels, whole)


@pytest.mark.parametrize("syntax", (files.EXPLICIT, files.RLE, files.JPEG_LS, files.JPEG_LOSSLESS))
@pytest.mark.parametrize("pieces", (1, 3))
@pytest.mark.parametrize("offsets", (True, False))
def test_multi_frame(syntax: str, pieces: int, offsets: bool) -> None:
    frames = np.stack([files.breast() // (i + 1) for i in range(3)])
    value = files.native_value(frames)
    if syntax not in files.NATIVE:
        streams = [files.compress(frame, syntax) for frame in frames]
        value = files.encapsulate(streams, pieces=pieces, offsets=offsets)
    data = files.encode_file(files.header(frames), value, syntax)
    if syntax == files.RLE and pieces > 1 and not offsets:
        with pytest.raises(DicomError, match="offset table"):
            read_dicom(data, frame=1)
        return
    for index, frame in enumerate(frames):
        assert np.array_equal(read_dicom(data, frame=index).pixels, frame)
    with pytest.raises(DicomError, match="3 frames; choose one"):
        read_dicom(data)
    for wrong in (3, -1, True, 0.5):
        with pytest.raises(InvalidArgument, match="0 to 2"):
            read_dicom(data, frame=wrong)  # type: ignore[arg-type]


def test_extended_offset_table() -> None:
    frames = np.stack([files.breast() // (i + 1) for i in range(2)])
    streams = [files.compress(frame, files.RLE) for frame in frames]
    value = files.encapsulate(streams, pieces=2)
    starts = [0, sum(len(stream) + 8 * 2 for stream in streams[:1])]
    table = struct.pack("<2Q", *starts)
    dataset = files.header(frames, ExtendedOffsetTable=table)
    assert np.array_equal(read_dicom(files.encode_file(dataset, value, files.RLE), frame=1).pixels, frames[1])


def test_digest_is_of_the_files_bytes_and_waits_to_be_asked() -> None:
    data = files.make_file(files.breast())
    mammogram = read_dicom(data)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: mammogram.sha256, range(8)))
    assert found == {hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("overlay", [0, 0x8000])
def test_big_endian_films_of_many_pieces(overlay: int) -> None:
    rng = np.random.default_rng(4)
    image = rng.integers(0, 4096, (301, 702), dtype=np.uint16)
    stored = image.copy()
    stored[200, 300] |= overlay  # a bit above BitsStored belongs to no sample
    mammogram = read_dicom(files.make_file(stored, files.BIG))
    assert np.array_equal(mammogram.pixels, image)


@pytest.mark.parametrize("shape", [(0, 7), (1, 1), (31, 33), (700, 901)])
def test_samples_are_swapped_from_any_address(shape: tuple[int, int]) -> None:
    samples = np.random.default_rng(6).integers(0, 65536, shape, dtype=np.uint16).astype(">u2")
    for offset in (0, 1):
        stored = np.frombuffer(bytes(offset) + samples.tobytes(), ">u2", count=samples.size, offset=offset)
        swapped, largest = _core.swap_bytes(stored.reshape(shape))
        assert swapped.dtype.isnative and np.array_equal(swapped, samples)
        assert largest == (samples.max() if samples.size else 0)


def test_only_dense_samples_of_two_bytes_are_swapped() -> None:
    with pytest.raises(InvalidArgument, match="of 4 bytes"):
        _core.swap_bytes(np.zeros((3, 4), np.uint32))
    with pytest.raises(InvalidArgument, match="not dense"):
        _core.swap_bytes(np.zeros((3, 4), ">u2")[:, ::2])


def test_files_of_any_kind_are_read_to_their_end(tmp_path: Path) -> None:
    data = np.random.default_rng(5).bytes(9_000_001)
    path = tmp_path / "film"
    path.write_bytes(data)
    assert load_bytes(path) == (data, "film")
    with path.open("rb") as file:
        assert _core.read_bytes(file.fileno(), 10) == data[:10]
        assert _core.read_bytes(file.fileno(), 2 * len(data)) == data[10:]
        assert _core.read_bytes(file.fileno(), 5) == b""
        assert _core.read_bytes(file.fileno(), 5).readonly
        descriptor = file.fileno()
    with pytest.raises(OSError):
        _core.read_bytes(descriptor, 5)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(pipe.write_bytes, data[:200_000])
        assert load_bytes(pipe) == (data[:200_000], "pipe")
        writing.result()


def test_an_imagecodecs_without_htj2k_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = files.make_file(files.breast(), files.HTJ2K_LOSSLESS)
    stand_in = types.SimpleNamespace(__version__="2025.3.30", jpeg2k_decode=imagecodecs.jpeg2k_decode)
    monkeypatch.setitem(sys.modules, "imagecodecs", stand_in)
    with pytest.raises(DicomError, match=r"HTJ2K is not read by imagecodecs 2025\.3\.30; a later one is needed"):
        read_dicom(data)
