"""Cut, damaged and lying DICOM files give an error, never wrong pixels."""

from __future__ import annotations

import io
import struct
import sys
import zlib

import dicom_files as files
import numpy as np
import pytest

from lcx_fast.dicom.read import read_dicom
from lcx_fast.errors import DicomError

COMPRESSED = (*files.LOSSLESS, *files.LOSSY)


@pytest.mark.parametrize("syntax", (*COMPRESSED, *files.NATIVE))
def test_truncated_files_are_refused(syntax: str) -> None:
    data = files.make_file(files.breast(), syntax)
    whole = read_dicom(data).pixels
    for cut in np.linspace(1, len(data) - 1, 60).astype(int):
        try:
            mammogram = read_dicom(data[:cut])
        except DicomError:
            continue
        assert np.array_equal(mammogram.pixels, whole)  # only the closing delimiter is gone
        assert len(data) - cut <= 9


def test_a_missing_delimiter_is_reported() -> None:
    image = files.breast()
    value = files.encapsulate([files.compress(image, files.JPEG_LS)], close=False)
    mammogram = read_dicom(files.encode_file(files.header(image), value, files.JPEG_LS))
    assert np.array_equal(mammogram.pixels, image)
    assert any("closing delimiter" in warning for warning in mammogram.warnings)


@pytest.mark.parametrize("syntax", (*COMPRESSED, files.JPEG_BASELINE))
def test_truncated_streams_in_intact_files_are_refused(syntax: str) -> None:
    image, bits = files.breast(), 12
    if syntax == files.JPEG_BASELINE:
        image, bits = (image >> 4).astype(np.uint8), 8
    dataset = files.header(image, bits=bits)
    stream = files.compress(image, syntax, bits=bits)
    for cut in (*np.linspace(1, len(stream) - 3, 40).astype(int), len(stream) - 2, len(stream) - 1):
        if syntax == files.RLE and stream[cut:] == b"\0" * (len(stream) - cut):
            continue  # only padding is gone
        value = files.encapsulate([stream[:cut]])
        with pytest.raises(DicomError):
            read_dicom(files.encode_file(dataset, value, syntax))


@pytest.mark.parametrize("syntax", (*COMPRESSED[1:], files.JPEG_BASELINE))  # RLE has no end marker
def test_streams_closed_after_truncation_are_refused(syntax: str) -> None:
    image, bits = files.breast(), 12
    if syntax == files.JPEG_BASELINE:
        image, bits = (image >> 4).astype(np.uint8), 8
    dataset = files.header(image, bits=bits)
    stream = files.compress(image, syntax, bits=bits)
    whole = read_dicom(files.encode_file(dataset, files.encapsulate([stream]), syntax)).pixels
    for cut in np.linspace(len(stream) // 4, len(stream) - 16, 40).astype(int):
        value = files.encapsulate([stream[:cut] + b"\xff\xd9"])
        try:
            pixels = read_dicom(files.encode_file(dataset, value, syntax)).pixels
        except DicomError:
            continue
        assert np.array_equal(pixels, whole)


@pytest.mark.parametrize(
    "syntax",
    (
        files.JPEG_EXTENDED,
        files.JPEG_LOSSLESS,
        files.JPEG_LOSSLESS_SV1,
        files.JPEG_LS,
        files.HTJ2K_LOSSLESS,
        files.RLE,
    ),
)
def test_streams_with_a_hole_are_refused(syntax: str) -> None:
    image = files.breast()
    dataset = files.header(image)
    stream = files.compress(image, syntax)
    whole = read_dicom(files.make_file(image, syntax)).pixels
    for start in np.linspace(len(stream) // 4, len(stream) - 220, 30).astype(int):
        value = files.encapsulate([stream[:start] + stream[start + 200 :]])
        try:
            pixels = read_dicom(files.encode_file(dataset, value, syntax)).pixels
        except DicomError:
            continue
        assert np.array_equal(pixels, whole)


def test_errors_inside_openjph_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    rng = np.random.default_rng(5)
    dataset = files.header(files.breast(), bits=16)
    stream = files.compress(files.breast(), files.HTJ2K_LOSSLESS)
    told = 0
    for _ in range(60):
        damaged = bytearray(stream)
        damaged[-40:-30] = rng.bytes(10)
        value = files.encapsulate([bytes(damaged)])
        lost.clear()
        try:
            read_dicom(files.encode_file(dataset, value, files.HTJ2K_LOSSLESS))
        except DicomError:
            told += 1
        else:
            assert not lost
    assert told > 0


@pytest.mark.parametrize("value", (0, -1, 1, -2048, 2047))
def test_plain_rows_are_no_errors(value: int) -> None:
    for signed in (True, False):
        stored = np.full((20, 20), value, np.int16) if signed else np.full((20, 20), value + 2048, np.uint16)
        expected = value + 32768 if signed else value + 2048
        data = files.make_file(stored, files.HTJ2K_LOSSLESS, bits=16)
        assert (read_dicom(data).pixels == expected).all()
        expected_8 = np.full((20, 20), 128, np.uint8)
        data = files.make_file(expected_8, files.HTJ2K_LOSSLESS, bits=8)
        assert np.array_equal(read_dicom(data).pixels, expected_8)


@pytest.mark.parametrize("interval", (1, 7))
def test_jpeg_restart_markers_are_counted(interval: int) -> None:
    from PIL import Image

    image = (files.breast() >> 4).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, restart_marker_blocks=interval)
    stream = buffer.getvalue()
    dataset = files.header(image, bits=8)
    good = files.encode_file(dataset, files.encapsulate([stream]), files.JPEG_BASELINE)
    assert np.abs(read_dicom(good).pixels.astype(int) - image).max() <= 16
    start = stream.index(b"\xff\xd3")
    bad = stream[:start] + stream[stream.index(b"\xff\xd4", start) :]
    with pytest.raises(DicomError, match="restart"):
        read_dicom(files.encode_file(dataset, files.encapsulate([bad]), files.JPEG_BASELINE))


@pytest.mark.parametrize("syntax", (*files.NATIVE, *COMPRESSED))
@pytest.mark.parametrize("lie", ({"Rows": 97}, {"Rows": 95}, {"Columns": 79}, {"Columns": 81}, {"Rows": 30000}))
def test_false_sizes_are_refused(syntax: str, lie: dict[str, int]) -> None:
    image = files.breast()
    data = files.make_file(image, syntax, **lie)
    with pytest.raises(DicomError):
        read_dicom(data)


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_false_bit_depths_are_refused(syntax: str) -> None:
    with pytest.raises(DicomError):
        read_dicom(files.make_file(files.breast(), syntax, BitsAllocated=8, BitsStored=8, HighBit=7))


@pytest.mark.parametrize("syntax", (files.JPEG_LOSSLESS, files.JPEG_2000_LOSSLESS))
def test_samples_beyond_bits_stored_are_refused(syntax: str) -> None:
    with pytest.raises(DicomError, match="BitsStored 8"):
        read_dicom(files.make_file(files.breast(), syntax, BitsStored=8))


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_false_transfer_syntaxes_are_refused(syntax: str) -> None:
    image = files.breast()
    value = files.encapsulate([files.compress(image, syntax)])
    for other in COMPRESSED:
        if _family(other) != _family(syntax):
            with pytest.raises(DicomError):
                read_dicom(files.encode_file(files.header(image), value, other))


def _family(syntax: str) -> str:
    """Syntaxes whose streams cannot or need not be told apart."""
    number = int(syntax.rsplit(".", 1)[1])
    return {5: "rle", 57: "lossless", 70: "lossless", 51: "dct", 80: "ls", 81: "ls"}.get(number, "2000")


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_random_damage_never_escapes_the_error_class() -> None:
    rng = np.random.default_rng(11)
    image = files.breast(24, 20)
    for syntax in (files.EXPLICIT, files.JPEG_LOSSLESS, files.JPEG_LS, files.RLE, files.JPEG_2000_LOSSLESS):
        data = files.make_file(image, syntax)
        for _ in range(60):
            damaged = bytearray(data)
            for position in rng.integers(0, len(data), 4):
                damaged[position] = rng.integers(0, 256)
            try:
                read_dicom(bytes(damaged))
            except DicomError as error:
                assert "\n" not in str(error)
                assert files.SECRET not in str(error)


def test_a_deflate_bomb_is_refused() -> None:
    bomb = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = b"".join(bomb.compress(b"\0" * (1 << 20)) for _ in range(300)) + bomb.flush()
    uid = files.DEFLATED.encode()
    head = b"\0" * 128 + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    with pytest.raises(DicomError, match="unfolds to more than"):
        read_dicom(head + body)


def test_an_rle_frame_too_small_for_its_claim_is_refused() -> None:
    with pytest.raises(DicomError, match="cannot hold"):
        read_dicom(files.make_file(files.breast(), files.RLE, Rows=20000, Columns=20000))


def test_deep_nesting_is_refused() -> None:
    image = files.breast()
    dataset = files.header(image)
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence = struct.pack("<HH2sHI", 0x0040, 0x0555, b"SQ", 0, 0xFFFFFFFF) + item
    data = files.encode_file(dataset, files.native_value(image), files.EXPLICIT)
    start = data.index(struct.pack("<HH", 0x7FE0, 0x0010))
    with pytest.raises(DicomError, match=r"nests|damaged|no pixel data"):
        read_dicom(data[:start] + sequence * 5000)


@pytest.mark.parametrize("value", (b"", b"\xfe\xff\x00\xe0", b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"))
def test_encapsulated_values_without_fragments_are_refused(value: bytes) -> None:
    with pytest.raises(DicomError):
        read_dicom(files.encode_file(files.header(files.breast()), value, files.JPEG_LS))


def test_wrong_offset_tables_are_refused() -> None:
    frames = np.stack([files.breast()] * 2)
    streams = [files.compress(frame, files.JPEG_LS) for frame in frames]
    value = bytearray(files.encapsulate(streams, pieces=2, offsets=True))
    value[12] += 2  # the second offset
    with pytest.raises(DicomError, match="offset table"):
        read_dicom(files.encode_file(files.header(frames), bytes(value), files.JPEG_LS), frame=1)


@pytest.mark.parametrize("rows_per_interval", (0, 1, 5, 95, 96))
@pytest.mark.parametrize("predictor", (1, 4, 7))
@pytest.mark.parametrize("shift", (0, 2))
def test_jpeg_lossless_restarts_and_point_transform(rows_per_interval: int, predictor: int, shift: int) -> None:
    image = files.breast()
    options = {"predictor": predictor, "shift": shift, "rows_per_interval": rows_per_interval}
    stream = files.plain_lossless_jpeg(image, **options)
    dataset = files.header(image)
    data = files.encode_file(dataset, files.encapsulate([stream]), files.JPEG_LOSSLESS)
    assert np.array_equal(read_dicom(data).pixels, image >> shift << shift)
    for cut in np.linspace(len(stream) // 2, len(stream) - 40, 7).astype(int):
        value = files.encapsulate([stream[:cut] + b"\xff\xd9"])
        with pytest.raises(DicomError):
            read_dicom(files.encode_file(dataset, value, files.JPEG_LOSSLESS))
