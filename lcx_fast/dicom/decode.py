"""One pinned decoder per transfer syntax, and the checks that make its answer trustworthy.

No decoder stands in for another, but for a GPU's that has proven its equality (``gpu_decode``): a stream that its codec
refuses is refused. Before decoding, the stream's own header is held against the DICOM header; after decoding, shape and
completeness are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DicomError
from .codestream import FrameHeader, check_restarts, read_jpeg, read_jpeg2000, with_sign
from .gpu_decode import GPU_DECODER
from .header import PixelLayout
from .jpeg_tail import check_dct_scan, check_lossless_tail

#: Transfer syntax UID to the decoder it is read with.
DECODERS = {
    "1.2.840.10008.1.2": "native",
    "1.2.840.10008.1.2.1": "native",
    "1.2.840.10008.1.2.1.99": "native",
    "1.2.840.10008.1.2.2": "native",
    "1.2.840.10008.1.2.5": "rle",
    "1.2.840.10008.1.2.4.50": "jpeg",
    "1.2.840.10008.1.2.4.51": "jpeg",
    "1.2.840.10008.1.2.4.57": "jpeg-lossless",
    "1.2.840.10008.1.2.4.70": "jpeg-lossless",
    "1.2.840.10008.1.2.4.80": "jpeg-ls",
    "1.2.840.10008.1.2.4.81": "jpeg-ls",
    "1.2.840.10008.1.2.4.90": "jpeg2000",
    "1.2.840.10008.1.2.4.91": "jpeg2000",
    "1.2.840.10008.1.2.4.201": "htj2k",
    "1.2.840.10008.1.2.4.202": "htj2k",
    "1.2.840.10008.1.2.4.203": "htj2k",
}

#: JPEG processes (SOF markers) that belong to a decoder's transfer syntaxes.
_PROCESSES = {"jpeg": (0xC0, 0xC1), "jpeg-lossless": (0xC3,), "jpeg-ls": (0xF7,)}


@dataclass(frozen=True)
class DecodedFrame:
    """Samples as stored, not yet interpreted.

    Attributes:
        samples: uint8 or uint16 [H, W], uncompressed ones in the file's byte order; signed values are two's complement.
        decoder: what decoded them, for reports.
        gpu_refusal: why no GPU did, where one might have.
    """

    samples: NDArray[Any]
    decoder: str
    gpu_refusal: str = ""


def decoder_of(transfer_syntax: str) -> str:
    """Name of the decoder for a transfer syntax.

    Raises:
        DicomError: if there is none.
    """
    try:
        return DECODERS[transfer_syntax]
    except KeyError:
        raise DicomError(
            f"transfer syntax {transfer_syntax or 'unknown'} is not read; accepted: uncompressed, deflated, "
            "RLE, JPEG (.50 .51 .57 .70), JPEG-LS, JPEG 2000 (.90 .91) and HTJ2K"
        ) from None


def read_native(
    value: memoryview, layout: PixelLayout, *, frame: int, little_endian: bool, is_word: bool
) -> DecodedFrame:
    """View one frame of uncompressed pixel data, in the byte order of the file.

    Args:
        value: the whole pixel data element.
        layout: of the frames.
        frame: which one, from 0.
        little_endian: byte order of the value.
        is_word: VR OW: 8-bit samples of a big-endian file lie in swapped pairs.

    Raises:
        DicomError: if the length disagrees with the header.
    """
    size = layout.frame_bytes
    expected = size * layout.frames
    if len(value) < expected:
        raise DicomError(f"the pixel data are truncated: {expected} bytes due, {len(value)} present")
    if len(value) - expected > max(1, layout.columns * layout.bits_allocated // 8 - 1):
        raise DicomError(f"the pixel data have {len(value)} bytes where the header accounts for {expected}")
    if layout.bits_allocated == 8:
        flat: NDArray[Any] = np.frombuffer(value, np.uint8)
        if is_word and not little_endian:
            flat = flat[: len(flat) // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
        flat = flat[frame * size : (frame + 1) * size]
    else:
        order = np.dtype("<u2" if little_endian else ">u2")
        flat = np.frombuffer(value, order, count=size // 2, offset=frame * size)
        if order.isnative:
            flat = np.require(flat, requirements="A")
    return DecodedFrame(flat.reshape(layout.rows, layout.columns), "native")


def decode_stream(stream: bytes, layout: PixelLayout, transfer_syntax: str) -> DecodedFrame:
    """Decode one compressed frame.

    Args:
        stream: all of the frame's fragments, joined.
        layout: what the DICOM header says about the frame.
        transfer_syntax: a UID.

    Raises:
        DicomError: if the stream is damaged or incomplete, or disagrees with the DICOM header.
    """
    import imagecodecs

    decoder = decoder_of(transfer_syntax)
    if decoder == "native":
        raise DicomError(f"encapsulated pixel data in transfer syntax {transfer_syntax}, which is uncompressed")
    codec = _Codec(transfer_syntax, f"imagecodecs {imagecodecs.__version__} {decoder}")
    try:
        samples = _DECODE[decoder](stream, layout, codec)
    except (DicomError, MemoryError):
        raise
    except Exception as error:  # every codec has its own error class
        raise DicomError(f"the {decoder} stream is damaged or truncated: {_reason(error)}") from None
    if samples.shape != (layout.rows, layout.columns):
        raise DicomError(f"the {decoder} stream decodes to {samples.shape}, not {layout.rows} x {layout.columns}")
    return DecodedFrame(samples, codec.name, codec.gpu_refusal)


@dataclass
class _Codec:
    """What decodes a stream that a GPU may decode too, and in the end its name for reports."""

    transfer_syntax: str
    name: str
    gpu_refusal: str = ""

    def __call__(self, stream: bytes, on_cpu: Callable[[bytes], NDArray[Any]]) -> NDArray[Any]:
        decoded = GPU_DECODER.decode(self.transfer_syntax, stream, on_cpu)
        self.name = decoded.by or self.name
        self.gpu_refusal = decoded.reason
        return decoded.samples


def _decode_rle(stream: bytes, layout: PixelLayout, _: _Codec) -> NDArray[Any]:
    import imagecodecs

    if len(stream) * 64 < layout.frame_bytes:  # two bytes make 128 at best
        raise DicomError(f"{len(stream)} bytes of RLE cannot hold {layout.rows} x {layout.columns} pixels")
    planes = layout.bits_allocated // 8
    if len(stream) < 64 or int.from_bytes(stream[:4], "little") != planes:
        raise DicomError(f"the RLE header is damaged; {planes} segment(s) are due")
    samples = np.empty((layout.rows, layout.columns), np.dtype(f"u{planes}"))
    # With room for exactly one frame no segment can be too long, so a right sum means that none is too short.
    room = memoryview(samples.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    written = len(imagecodecs.dicomrle_decode(stream, samples.dtype.str, out=room))
    if written != samples.nbytes:
        raise DicomError(f"the RLE frame is truncated: {samples.nbytes} bytes due, {written} decoded")
    return samples


def _decode_jpeg(stream: bytes, layout: PixelLayout, _: _Codec) -> NDArray[Any]:
    import imagecodecs

    header = read_jpeg(stream)
    _check_process("jpeg", header.process)
    _check_header(header, layout)
    check_restarts(stream, header, -(-header.rows // 8) * -(-header.columns // 8))
    samples = imagecodecs.jpeg8_decode(stream)
    check_dct_scan(stream, header)
    return _as_stored(samples, header, layout)


def _decode_jpeg_lossless(stream: bytes, layout: PixelLayout, codec: _Codec) -> NDArray[Any]:
    import imagecodecs

    header = read_jpeg(stream)
    _check_process("jpeg-lossless", header.process)
    _check_header(header, layout)
    if not 1 <= header.selector <= 7:
        raise DicomError(f"the JPEG stream's predictor is {header.selector}; accepted: 1 to 7")
    check_restarts(stream, header, header.rows * header.columns)
    samples = codec(stream, imagecodecs.jpeg8_decode)
    check_lossless_tail(stream, header, samples)
    return _as_stored(samples, header, layout)


def _decode_jpeg_ls(stream: bytes, layout: PixelLayout, _: _Codec) -> NDArray[Any]:
    import imagecodecs

    header = read_jpeg(stream)
    _check_process("jpeg-ls", header.process)
    _check_header(header, layout)
    return _as_stored(imagecodecs.jpegls_decode(stream), header, layout)


def _decode_jpeg2000(stream: bytes, layout: PixelLayout, codec: _Codec) -> NDArray[Any]:
    import imagecodecs

    header = read_jpeg2000(stream)
    _check_header(header, layout, has_sign=True)
    threads = min(4, _core.available_cpus())
    return _as_stored(codec(stream, partial(imagecodecs.jpeg2k_decode, numthreads=threads)), header, layout)


def _decode_htj2k(stream: bytes, layout: PixelLayout, _: _Codec) -> NDArray[Any]:
    """Decode with OpenJPH.

    Its errors while rows are pulled get lost in imagecodecs and leave the remaining rows 0. As signed numbers,
    0 is the middle of the range, not the background, so that such rows show.
    """
    import imagecodecs

    if not hasattr(imagecodecs, "htj2k_decode"):  # the last one for Python 3.10
        raise DicomError(f"HTJ2K is not read by imagecodecs {imagecodecs.__version__}; a later one is needed")
    header = read_jpeg2000(stream)
    _check_header(header, layout, has_sign=True)
    samples: NDArray[Any] = imagecodecs.htj2k_decode(with_sign(stream, signed=True))
    if not samples[-1].any() and not imagecodecs.htj2k_decode(with_sign(stream, signed=False))[-1].any():
        raise DicomError("the HTJ2K stream is damaged: decoding stopped before the last row")
    if not header.signed:
        samples = samples.view(np.dtype(f"u{samples.dtype.itemsize}"))
        samples += samples.dtype.type(1 << (header.precision - 1))
    return _as_stored(samples, header, layout)


_DECODE: dict[str, Callable[[bytes, PixelLayout, _Codec], NDArray[Any]]] = {
    "rle": _decode_rle,
    "jpeg": _decode_jpeg,
    "jpeg-lossless": _decode_jpeg_lossless,
    "jpeg-ls": _decode_jpeg_ls,
    "jpeg2000": _decode_jpeg2000,
    "htj2k": _decode_htj2k,
}


def _check_process(decoder: str, process: int) -> None:
    if process not in _PROCESSES[decoder]:
        raise DicomError(f"a JPEG stream of process SOF{process - 0xC0} does not belong to its transfer syntax")


def _check_header(header: FrameHeader, layout: PixelLayout, *, has_sign: bool = False) -> None:
    """Hold a stream's header against the DICOM header."""
    if (header.rows, header.columns) != (layout.rows, layout.columns):
        raise DicomError(
            f"the compressed stream is {header.rows} x {header.columns}, "
            f"the DICOM header says {layout.rows} x {layout.columns}"
        )
    if header.components != 1:
        raise DicomError(f"the compressed stream has {header.components} components; accepted: 1")
    if not 2 <= header.precision <= layout.bits_allocated:
        raise DicomError(
            f"the compressed stream has {header.precision} bits per sample, "
            f"the DICOM header allocates {layout.bits_allocated}"
        )
    if has_sign and header.signed != layout.signed:
        raise DicomError("compressed stream and DICOM header disagree about signed samples")
    if layout.signed and not has_sign and header.precision < layout.bits_stored:
        raise DicomError(
            f"signed samples of {layout.bits_stored} bits in a stream of {header.precision} bits: "
            "their sign cannot be known"
        )
    if layout.high_bit != layout.bits_stored - 1:
        raise DicomError("compressed samples must lie in the low bits; HighBit says otherwise")


def _as_stored(samples: NDArray[Any], header: FrameHeader, layout: PixelLayout) -> NDArray[Any]:
    """Samples as unsigned integers; in 16 bits if the DICOM header says so and their sign needs it."""
    if samples.dtype.kind == "i" and samples.dtype.itemsize * 8 < layout.bits_allocated:
        samples = samples.astype(np.int16)
    samples = samples.view(np.dtype(f"u{samples.dtype.itemsize}"))
    if not layout.signed and header.precision > layout.bits_stored:
        largest = int(samples.max())
        if largest >> layout.bits_stored:
            raise DicomError(f"a sample of {largest} does not fit BitsStored {layout.bits_stored}")
    return samples


def _reason(error: Exception) -> str:
    """A codec's own message in one short line."""
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__
