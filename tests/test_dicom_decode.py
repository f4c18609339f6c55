"""Every transfer syntax gives the right pixels or an error: whole, cut, damaged and lying streams."""

from __future__ import annotations

import io
import struct
import zlib

import dicom_files as files
import imagecodecs
import numpy as np
import pydicom
import pytest

from lcx_fast.dicom.read import read_dicom
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


@pytest.mark.parametrize(
    "syntax", (files.EXPLICIT, files.JPEG_2000_LOSSLESS, files.HTJ2K_LOSSLESS, files.RLE)
)
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


@pytest.mark.parametrize("syntax", (*COMPRESSED, files.JPEG_BASELINE))
def test_streams_closed_after_truncation_are_refused(syntax: str) -> None:
    if syntax == files.RLE:
        pytest.skip("RLE has no end marker")
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
    "syntax", (files.JPEG_LOSSLESS, files.JPEG_LOSSLESS_SV1, files.JPEG_LS, files.HTJ2K_LOSSLESS, files.RLE)
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
@pytest.mark.parametrize(
    "lie", ({"Rows": 97}, {"Rows": 95}, {"Columns": 79}, {"Columns": 81}, {"Rows": 30000})
)
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


@pytest.mark.parametrize(
    "value", (b"", b"\xfe\xff\x00\xe0", b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0")
)
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
def test_jpeg_lossless_restarts_and_point_transform(
    rows_per_interval: int, predictor: int, shift: int
) -> None:
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
