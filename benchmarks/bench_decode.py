"""Reading one 4096 x 3328 frame of 12 bits from a file, in every transfer syntax, on one CPU.

    python benchmarks/bench_decode.py [--json FILE] [--only WORD] [--quick]

From path to pixels, header included. Every candidate's pixels are compared with the film that was encoded (within the
codec's loss, lossy ones with ours). *floor*: the bare codec, or the bytes of an uncompressed file, read.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import films
import imagecodecs
import numpy as np
from films import dicom_files
from harness import Bar, Comparison, Missing, Results, arguments, at_most, candidate, compare, peer

import lcx_fast
from lcx_fast.dicom.container import parse_file
from lcx_fast.dicom.fragments import frame_stream, split_items

dicomsdl = peer("dicomsdl")
gdcm = peer("gdcm")
highdicom = peer("highdicom")
pydicom = peer("pydicom")
simpleitk = peer("SimpleITK")

#: Seconds for one frame there: measured once by hand and left out.
_TOO_SLOW = {"SimpleITK": (dicom_files.RLE,)}


def by_plugin(path: Path, plugin: str) -> Callable[[], Any]:
    """pydicom with one of its decoding plugins."""
    return lambda: pydicom.pixels.pixel_array(path, decoding_plugin=plugin, raw=True)


def peers(path: Path, uid: str) -> dict[str, tuple[Any, Callable[[], Any]]]:
    """Each peer's module and call."""
    found: dict[str, tuple[Any, Callable[[], Any]]] = {
        "pydicom": (pydicom, lambda: pydicom.dcmread(path).pixel_array),
        "highdicom": (highdicom, lambda: highdicom.imread(path).get_stored_frame(1)),
        "dicomsdl": (dicomsdl, lambda: dicomsdl.open(str(path)).pixelData(storedvalue=True)),
        "SimpleITK": (simpleitk, lambda: simpleitk.GetArrayFromImage(simpleitk.ReadImage(str(path)))[0]),
    }
    if uid in (dicom_files.JPEG_LS, dicom_files.JPEG_LS_NEAR):
        found["pydicom + pyjpegls"] = (peer("jpeg_ls"), by_plugin(path, "pyjpegls"))
    if uid in (dicom_files.RLE, dicom_files.JPEG_2000, dicom_files.JPEG_2000_LOSSLESS):
        module = peer("rle" if uid == dicom_files.RLE else "openjpeg")
        found["pydicom + pylibjpeg"] = (module, by_plugin(path, "pylibjpeg"))
    return {name: way for name, way in found.items() if uid not in _TOO_SLOW.get(name, ())}


def bare_codec(path: Path, uid: str) -> Callable[[], Any]:
    """The least that must be done: the codec on the frame's bytes, or the file's bytes read."""
    if uid in (dicom_files.IMPLICIT, dicom_files.EXPLICIT, dicom_files.BIG):
        return path.read_bytes
    if uid == dicom_files.DEFLATED:
        import zlib

        data = path.read_bytes()
        start = data.index(uid.encode()) + len(uid)
        return lambda: zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:])
    stream = frame_stream(split_items(parse_file(path.read_bytes()).pixels.value), frame=0, frames=1)
    if uid == dicom_files.RLE:
        return lambda: imagecodecs.dicomrle_decode(stream, "<u2")
    family = next(f for f in ("jpegls", "jpeg2k", "htj2k", "jpeg8") if uid in _CODECS[f])
    return lambda: getattr(imagecodecs, f"{family}_decode")(stream)


_CODECS = {
    "jpeg8": (dicom_files.JPEG_EXTENDED, dicom_files.JPEG_LOSSLESS, dicom_files.JPEG_LOSSLESS_SV1),
    "jpegls": (dicom_files.JPEG_LS, dicom_files.JPEG_LS_NEAR),
    "jpeg2k": (dicom_files.JPEG_2000, dicom_files.JPEG_2000_LOSSLESS),
    "htj2k": (dicom_files.HTJ2K, dicom_files.HTJ2K_LOSSLESS, dicom_files.HTJ2K_RPCL),
}


def bars(uid: str, ways: Mapping[str, Any]) -> list[Bar]:
    """Uncompressed: highdicom's time, or the best peer's where it cannot read the file. Compressed: nobody is faster,
    but for the clock's own noise."""
    if uid not in dicom_files.NATIVE:
        return [at_most(1.05)]
    return [at_most(1) if isinstance(ways["highdicom"], Missing) else at_most(1, "highdicom")]


def bench_read(folder: Path, name: str, uid: str, *, quick: bool) -> Comparison:
    """One transfer syntax."""
    path = films.write_film(folder, name)
    mine = lcx_fast.read_dicom(path).pixels
    lossy = uid in dicom_files.LOSSY
    expected = films.film()
    if not lossy and not np.array_equal(mine, expected):
        raise ValueError("ours are not the pixels that were encoded")
    # Two decoders of a lossy stream may round differently.
    reference, within = (mine.astype(np.int32), 1) if lossy else (expected.astype(np.int32), 0)

    def is_right(pixels: Any) -> bool:
        return bool(np.abs(np.asarray(pixels).astype(np.int32) - reference).max() <= within)

    ways: dict[str, Any] = {"lcx_fast": lambda: lcx_fast.read_dicom(path).pixels}
    ways |= {other: candidate(*way, is_right) for other, way in peers(path, uid).items()}
    floor = bare_codec(path, uid)
    found = compare("read", name, ways, floor=floor, bars=bars(uid, ways), rounds=1 if quick else 9, budget_s=2)
    path.unlink()
    return found


def main() -> int:
    given = arguments(__doc__).parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if not isinstance(gdcm, Missing):
        gdcm.Trace.WarningOff()
    results = Results("decode", "Reading one 4096 x 3328 frame of 12 bits, file to pixels, one CPU", given)
    with tempfile.TemporaryDirectory() as folder:
        for name, uid in films.SYNTAXES.items():
            measure = partial(bench_read, Path(folder), name, uid, quick=given.quick)
            results.run(f"read {name}", measure)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
