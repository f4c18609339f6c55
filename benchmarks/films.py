"""A film to measure on: made here, so that everybody measures on the same one, of every transfer syntax.

    python benchmarks/films.py FOLDER

4096 x 3328 pixels of 12 bits at 0.07 mm: a breast on the left with texture and a few bright, smooth masses. It looks
like a mammogram only as far as the work to be done on it goes.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the tests' writer knows every transfer syntax

import dicom_files  # noqa: E402

SHAPE = (4096, 3328)
SPACING_MM = 0.07
BITS = 12

#: Name, as in the tables, and UID.
SYNTAXES = {
    "uncompressed, implicit": dicom_files.IMPLICIT,
    "uncompressed, explicit": dicom_files.EXPLICIT,
    "uncompressed, big-endian": dicom_files.BIG,
    "deflated": dicom_files.DEFLATED,
    "RLE": dicom_files.RLE,
    "JPEG extended .51": dicom_files.JPEG_EXTENDED,
    "JPEG Lossless .57": dicom_files.JPEG_LOSSLESS,
    "JPEG Lossless .70": dicom_files.JPEG_LOSSLESS_SV1,
    "JPEG-LS .80": dicom_files.JPEG_LS,
    "JPEG-LS near .81": dicom_files.JPEG_LS_NEAR,
    "JPEG 2000 lossless .90": dicom_files.JPEG_2000_LOSSLESS,
    "JPEG 2000 .91": dicom_files.JPEG_2000,
    "HTJ2K lossless .201": dicom_files.HTJ2K_LOSSLESS,
    "HTJ2K RPCL .202": dicom_files.HTJ2K_RPCL,
    "HTJ2K .203": dicom_files.HTJ2K,
}

#: Centre and radius of the masses, in pixels.
MASSES = ((900, 900, 90), (1700, 1500, 140), (2300, 600, 60), (2700, 1300, 110), (3200, 700, 75))


def film(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """uint16 [H, W]: about 1,500 in the breast, 3,600 in the masses, noise of 12, black outside."""
    rows, columns = shape
    rng = np.random.default_rng(11)
    y, x = np.ogrid[:rows, :columns]
    inside = ((y - rows / 2) / (0.46 * rows)) ** 2 + (x / (0.72 * columns)) ** 2 < 1
    texture = 250 * np.cos(x / 61.0) * np.sin(y / 47.0) + 120 * np.sin((x + 2 * y) / 173.0)
    grey = 1500 + texture + rng.normal(0, 12, shape).astype(np.float32)
    scale = rows / SHAPE[0]
    for centre_y, centre_x, radius in MASSES:
        distance = np.hypot(y - centre_y * scale, x - centre_x * scale) / (radius * scale)
        grey += 2000 * np.clip(1.5 - distance, 0, 1)
    return np.where(inside, np.clip(grey, 1, 2**BITS - 1), 0).astype(np.uint16)


@cache
def _cached_film() -> np.ndarray:
    return film()


def write_film(folder: Path, name: str) -> Path:
    """The film in one syntax, by its name in ``SYNTAXES``; kept if it is there already."""
    path = folder / f"{SYNTAXES[name]}.dcm"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        spacing = [SPACING_MM, SPACING_MM]
        data = dicom_files.make_file(_cached_film(), SYNTAXES[name], bits=BITS, ImagerPixelSpacing=spacing)
        partial = path.with_suffix(".part")
        partial.write_bytes(data)
        partial.rename(path)
    return path


if __name__ == "__main__":
    for syntax in SYNTAXES:
        written = write_film(Path(sys.argv[1]), syntax)
        print(f"{written}  {syntax}, {written.stat().st_size / 2**20:.1f} MiB")
