"""Pixels of a DDSM film: .LJPEG and .LJPEG.1 files, and from grey levels to optical density.

Note [Stanford's lossless JPEG]
DDSM's .LJPEG files were written by the Stanford PVRG codec, and most decoders show noise instead of a film.
Found by comparing that codec's streams with ISO 10918-1:
1. In the first row the standard predicts from the left neighbour, whatever the scan's predictor is. The codec
   uses the scan's predictor there too, with 2^(P-1) for the row above. Predictors 1, 4 and 5 come to the same;
   2, 3, 6 and 7 do not, and the error runs through the whole image.
2. Height and width in the header are those the codec was told, in many files the wrong way round. The samples
   are right and in order; their rows are not. The .ics file has the size.
So: a standard decoder gives the differences, from which the image is put together again by the codec's rule;
whichever of both first rows is smoother was meant. Then the rows are cut by the .ics file.

Note [Optical density]
Brighter must mean denser: tissue that absorbs more exposes the film less, which lowers the optical density.
Formulas by scanner are those of the database's calibration pages. Pixels are round(10000 (4 - density)), so
that films of all scanners are comparable: 0 is density 4 (black film), 40000 clear film.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .ddsm_text import Film
from .record import DatasetError

MAX_DENSITY = 4.0
PIXELS_PER_DENSITY = 10000.0


def read_film(path: Path, film: Film) -> tuple[NDArray[np.uint16], str]:
    """Grey levels uint16 [H, W] of a .LJPEG or .LJPEG.1 file, and a remark on a repaired oddity ("" if none).

    Raises:
        DatasetError: if the file's size or content does not agree with the .ics file.
    """
    size = (film.lines, film.pixels_per_line)
    if path.suffix == ".1":
        return read_raw(path, size, bits=film.bits_per_pixel)
    pixels, remark = decode_ljpeg(path.read_bytes(), path.name)
    if pixels.size != size[0] * size[1]:
        stated = f"{pixels.shape[0]} x {pixels.shape[1]}"
        raise DatasetError(f"{path.name}: the stream has {stated} pixels, the .ics file says {size[0]} x {size[1]}")
    return pixels.reshape(size), remark


def read_raw(path: Path, size: tuple[int, int], *, bits: int) -> tuple[NDArray[np.uint16], str]:
    """A headerless .LJPEG.1 file: big-endian uint16; little-endian if only that fits the bits, with a remark."""
    expected = 2 * size[0] * size[1]
    if path.stat().st_size != expected:
        raise DatasetError(
            f"{path.name}: {path.stat().st_size} bytes, {expected} are due for {size[0]} x {size[1]} pixels"
        )
    pixels = np.fromfile(path, ">u2").reshape(size).astype(np.uint16)
    limit = 1 << bits
    if bits < 16 and int(pixels.max()) >= limit and int(pixels.byteswap().max()) < limit:
        return pixels.byteswap(), "the raw film is little-endian"
    return pixels, ""


def decode_ljpeg(data: bytes, name: str) -> tuple[NDArray[np.uint16], str]:
    """Decode a lossless JPEG stream of either kind; see Note [Stanford's lossless JPEG].

    Returns:
        uint16 [h, w] by the stream's own header, and a remark if it followed the Stanford codec's rule.

    Raises:
        DatasetError: if it is no such stream, damaged or incomplete.
    """
    import imagecodecs

    from lcx_fast.dicom.codestream import read_jpeg
    from lcx_fast.dicom.jpeg_tail import check_lossless_tail
    from lcx_fast.errors import LcxError

    try:
        header = read_jpeg(data)
        if header.process != 0xC3 or header.point_transform or header.restart_interval:
            raise DatasetError("only lossless JPEG without restarts or point transform is read")
        if header.rows * header.columns > 100_000_000 or min(header.rows, header.columns) < 1:
            raise DatasetError(f"{header.rows} x {header.columns} pixels")
        decoded = np.asarray(imagecodecs.jpeg8_decode(data))
        check_lossless_tail(data, header, decoded)
    except (LcxError, DatasetError, imagecodecs.Jpeg8Error) as error:
        hint = "convert it with the PVRG codec (jpeg -d -s FILE) to .LJPEG.1"
        raise DatasetError(f"{name}: {error}; {hint}") from None
    standard = decoded.astype(np.uint16)
    if header.selector in (1, 4, 5):
        return standard, ""
    stanford = rebuild(differences(standard, header.selector, header.precision), header.selector, header.precision)
    if _roughness(stanford[0]) < _roughness(standard[0]):
        return stanford, "the first row follows the Stanford codec's rule"
    return standard, ""


def differences(pixels: NDArray[np.uint16], selector: int, precision: int) -> NDArray[np.uint16]:
    """Prediction differences modulo 2^16 by the standard's rule (ISO 10918-1 H.1.2.1).

    Args:
        pixels: uint16 [H, W].
        selector: predictor 1 to 7.
        precision: bits per sample.
    """
    samples = pixels.astype(np.int32)
    left, above, corner = samples[1:, :-1], samples[:-1, 1:], samples[:-1, :-1]
    predicted = np.empty_like(samples)
    predicted[1:, 1:] = _predict(selector, left, above, corner)
    predicted[1:, 0] = samples[:-1, 0]
    predicted[0, 1:] = samples[0, :-1]
    predicted[0, 0] = 1 << (precision - 1)
    return (samples - predicted).astype(np.uint16)


def rebuild(difference: NDArray[np.uint16], selector: int, precision: int) -> NDArray[np.uint16]:
    """The image of these differences by the Stanford codec's rule; see Note [Stanford's lossless JPEG].

    A pixel needs its left and upper neighbours, so all pixels of one anti-diagonal are made at once.

    Args:
        difference: uint16 [H, W].
        selector: predictor 1 to 7.
        precision: bits per sample.
    """
    height, width = difference.shape
    default = 1 << (precision - 1)
    # A row above and a column to the left, so that every pixel has its neighbours.
    wide = width + 1
    image = np.full((height + 1) * wide, default, np.int32)
    source = np.zeros((height + 1, wide), np.int32)
    source[1:, 1:] = difference
    flat = source.reshape(-1)
    for diagonal in range(2, height + width + 1):
        first_row = max(1, diagonal - width)
        last_row = min(height, diagonal - 1)
        at = slice(first_row * wide + diagonal - first_row, last_row * wide + diagonal - last_row + 1, wide - 1)
        left, above, corner = (image[at.start - k : at.stop - k : at.step] for k in (1, wide, wide + 1))
        values = _predict(selector, left, above, corner)
        if last_row == diagonal - 1 and last_row > 1:
            values[-1] = above[-1]  # the first column of any row but the first
        elif last_row == 1 and diagonal == 2:
            values[-1] = default
        image[at] = (values + flat[at]) & 0xFFFF
    return image.reshape(height + 1, wide)[1:, 1:].astype(np.uint16)


def optical_density(grey: NDArray[np.uint16], digitizer: str, case_letter: str) -> NDArray[np.float32]:
    """Optical density of a film; see Note [Optical density].

    Args:
        grey: uint16 [H, W], as digitized.
        digitizer: DBA, HOWTEK or LUMISYS.
        case_letter: first letter of the case's name: there were two HOWTEK scanners, one for A and one for D.

    Returns:
        float32 [H, W], 0 to about 4.

    Raises:
        DatasetError: if this scanner's formula is not known.
    """
    scanner = digitizer.upper()
    key = f"{scanner} {case_letter.upper()}" if scanner == "HOWTEK" else scanner
    if key == "DBA":
        level = np.arange(1 << 16).clip(4, 64064)
        density = (np.log10(level) - 4.80662) / -1.07553
    elif key == "HOWTEK A":
        density = 3.789 - 0.00094568 * np.arange(1 << 16).clip(0, 4006)
    elif key == "HOWTEK D":
        density = 3.96604096240593 - 0.00099055807612 * np.arange(1 << 16).clip(0, 4003)
    elif key == "LUMISYS":
        density = (np.arange(1 << 16).clip(61, 4097) - 4096.99) / -1009.01
    else:
        raise DatasetError(f"no calibration of digitizer {key!r}; known: DBA, HOWTEK A, HOWTEK D, LUMISYS")
    return np.asarray(density[grey], np.float32)


def density_to_pixels(density: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Mammogram pixels uint16 of optical densities, brighter meaning denser; see Note [Optical density]."""
    return np.round((MAX_DENSITY - density.clip(0.0, MAX_DENSITY).astype(np.float64)) * PIXELS_PER_DENSITY).astype(
        np.uint16
    )


def _predict(
    selector: int, left: NDArray[np.int32], above: NDArray[np.int32], corner: NDArray[np.int32]
) -> NDArray[np.int32]:
    """ISO 10918-1 table H.1."""
    rules: dict[int, Callable[[], NDArray[np.int32]]] = {
        1: left.copy,
        2: above.copy,
        3: corner.copy,
        4: lambda: left + above - corner,
        5: lambda: left + ((above - corner) >> 1),
        6: lambda: above + ((left - corner) >> 1),
        7: lambda: (left + above) >> 1,
    }
    if selector not in rules:
        raise DatasetError(f"predictor {selector} of a lossless JPEG; known: 1 to 7")
    return rules[selector]()


def _roughness(row: NDArray[np.uint16]) -> float:
    steps = np.abs(np.diff(row.astype(np.int32)))
    return float(np.mean(steps)) if steps.size else 0.0
