"""The entry point for DICOM files: ``read_dicom``."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import DicomError, InvalidArgument
from ..mammogram import FileDigest, Mammogram
from .container import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, EncodedPixels, parse_file
from .decode import DecodedFrame, decode_stream, decoder_of, read_native
from .fragments import frame_stream, split_items
from .header import Header, PixelLayout, read_layout
from .source import BytesSource, load_bytes
from .spacing import UserSpacing, read_spacing, user_spacing
from .view import check_side, read_laterality, read_orientation, read_remarks, read_view_position
from .voi import apply_grey_scale, compose_grey_scale

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_FOR_PROCESSING_CLASSES = ("1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.1.1.1")


@dataclass(frozen=True)
class ReadOptions:
    """What a caller of ``read_dicom`` may choose; see there."""

    pixel_spacing_mm: UserSpacing | None = None
    frame: int | None = None
    allow_for_processing: bool = False


def read_dicom(
    source: BytesSource | Dataset,
    *,
    pixel_spacing_mm: UserSpacing | None = None,
    frame: int | None = None,
    allow_for_processing: bool = False,
) -> Mammogram:
    """Read one frame of a DICOM mammogram.

    Args:
        source: a path, the file's bytes, a binary file object, or a pydicom ``Dataset``.
        pixel_spacing_mm: one number or (row, column) in mm; takes the place of what the file says.
        frame: which frame of a multi-frame object, from 0; a single-frame object needs none.
        allow_for_processing: accept raw detector data (Presentation Intent Type FOR PROCESSING).

    Returns:
        The mammogram; its pixels are uint8 or uint16 and may be read-only.

    Raises:
        DicomError: if the file is not a mammogram that can be read, complete and unambiguous.
        InvalidArgument: if there is no such file or an argument is wrong.
    """
    options = ReadOptions(pixel_spacing_mm, frame, allow_for_processing)
    if hasattr(source, "get_item"):
        return _read_dataset(cast("Dataset", source), options)
    data, name = load_bytes(cast(BytesSource, source))
    return read_dicom_bytes(data, name=name, options=options)


def read_dicom_bytes(data: memoryview, *, name: str, options: ReadOptions) -> Mammogram:
    """Read one frame from a DICOM file's bytes; ``name`` is what reports will call it."""
    file = parse_file(data)
    return _assemble(file.dataset, file.transfer_syntax, file.pixels, options, name=name, digest=FileDigest(data))


def _read_dataset(dataset: Dataset, options: ReadOptions) -> Mammogram:
    """Read one frame from a data set in memory."""
    meta = getattr(dataset, "file_meta", None)
    implicit, little = dataset.original_encoding
    syntax = str(meta.get("TransferSyntaxUID", "") or "") if meta is not None else ""
    if not syntax:
        syntax = EXPLICIT_BIG if little is False else IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE
    try:
        value = dataset["PixelData"].value
        vr = str(dataset["PixelData"].VR)
    except Exception:  # absent, or the file behind a deferred value is gone
        raise DicomError("no pixel data: the data set is not an image") from None
    if not isinstance(value, bytes | bytearray):
        raise DicomError("no pixel data: the data set is not an image")
    encapsulated = decoder_of(syntax) != "native"
    pixels = EncodedPixels(memoryview(bytes(value)), vr, encapsulated, syntax != EXPLICIT_BIG)
    return _assemble(dataset, syntax, pixels, options, name="dataset", digest=None)


def _assemble(
    dataset: Dataset,
    syntax: str,
    encoded: EncodedPixels,
    options: ReadOptions,
    *,
    name: str,
    digest: FileDigest | None,
) -> Mammogram:
    """Decode, interpret and describe one frame."""
    given_spacing = user_spacing(options.pixel_spacing_mm)
    top = Header(dataset)
    warnings = list(_check_kind(top, options))
    layout = read_layout(top)
    frame = _choose_frame(options.frame, layout.frames)
    header = Header(dataset, frame)
    decoded, notes = _decode(encoded, layout, syntax, frame, header)
    grey = compose_grey_scale(header, layout)
    pixels = apply_grey_scale(decoded.samples, layout, grey.table)
    spacing, spacing_notes = read_spacing(header, (layout.rows, layout.columns))
    if given_spacing is not None:
        spacing, spacing_notes = given_spacing, ()
    laterality, side_notes = read_laterality(header)
    warnings += [*notes, *grey.warnings, *spacing_notes, *side_notes, *read_remarks(header)]
    warnings += check_side(pixels, laterality, header)
    return Mammogram(
        pixels=pixels,
        spacing=spacing,
        laterality=laterality,
        view_position=read_view_position(header),
        sop_instance_uid=header.uid("SOPInstanceUID"),
        study_instance_uid=header.uid("StudyInstanceUID"),
        series_instance_uid=header.uid("SeriesInstanceUID"),
        sop_class_uid=header.uid("SOPClassUID"),
        name=name,
        digest=digest,
        warnings=tuple(warnings),
        attributes=_attributes(header, layout, syntax, decoded, grey.description, frame),
    )


def _check_kind(header: Header, options: ReadOptions) -> tuple[str, ...]:
    """Refuse objects whose pixels do not mean what a mammogram's do; warn about doubtful ones."""
    sop_class = header.uid("SOPClassUID")
    if "HOLOGIC" in header.private_creator(0x7E010010) and sop_class == _SECONDARY_CAPTURE:
        raise DicomError(
            "a Hologic tomosynthesis object stored as Secondary Capture: its frames are private data; "
            "accepted: Breast Tomosynthesis Image Storage, or 2-D images"
        )
    warnings = []
    intent = header.code("PresentationIntentType")
    if intent == "FOR PROCESSING" or sop_class in _FOR_PROCESSING_CLASSES:
        if not options.allow_for_processing:
            raise DicomError(
                "the image is FOR PROCESSING (raw detector data); give the FOR PRESENTATION image of "
                "the same view, or pass allow_for_processing=True and expect other grey values"
            )
        warnings.append("the image is FOR PROCESSING: raw detector data, whose grey values were not prepared")
    modality = header.code("Modality")
    if modality != "MG":
        warnings.append(f"the modality is {modality or 'unknown'}, not MG")
    return tuple(warnings)


def _choose_frame(frame: int | None, frames: int) -> int:
    if frame is None:
        if frames > 1:
            raise DicomError(f"the object has {frames} frames; choose one with frame=0 to {frames - 1}")
        return 0
    if isinstance(frame, bool) or not isinstance(frame, int | np.integer) or not 0 <= frame < frames:
        raise InvalidArgument(f"frame {frame!r}; accepted: 0 to {frames - 1}")
    return int(frame)


def _decode(
    encoded: EncodedPixels, layout: PixelLayout, syntax: str, frame: int, header: Header
) -> tuple[DecodedFrame, tuple[str, ...]]:
    """One frame's samples, and warnings."""
    if not encoded.encapsulated:
        if decoder_of(syntax) != "native":
            raise DicomError(f"transfer syntax {syntax} requires encapsulated pixel data")
        is_word = encoded.vr == "OW"
        little = encoded.little_endian
        return read_native(encoded.value, layout, frame=frame, little_endian=little, is_word=is_word), ()
    parts = split_items(encoded.value)
    extended = header.raw("ExtendedOffsetTable") or b""
    offsets = struct.unpack(f"<{len(extended) // 8}Q", extended[: len(extended) // 8 * 8])
    stream = frame_stream(parts, frame=frame, frames=layout.frames, extended_offsets=offsets)
    notes = () if parts.is_closed else ("the pixel data lack their closing delimiter; the frame is complete",)
    return decode_stream(stream, layout, syntax), notes


def _attributes(
    header: Header, layout: PixelLayout, syntax: str, decoded: DecodedFrame, grey: str, frame: int
) -> dict[str, str]:
    """Facts for reports. No patient data: codes, UIDs, numbers, and the maker of the machine."""
    facts: dict[str, Any] = {
        "transfer_syntax_uid": syntax,
        "decoder": decoded.decoder,
        "grey_scale": grey,
        "bits_stored": layout.bits_stored,
        "photometric_interpretation": header.code("PhotometricInterpretation"),
        "modality": header.code("Modality"),
        "presentation_intent_type": header.code("PresentationIntentType"),
        "patient_orientation": "\\".join(read_orientation(header)),
        "manufacturer": header.text("Manufacturer"),
        "manufacturer_model_name": header.text("ManufacturerModelName"),
    }
    if decoded.gpu_refusal:
        facts["gpu_decoder"] = decoded.gpu_refusal
    if layout.frames > 1:
        facts |= {"frame": frame, "number_of_frames": layout.frames}
    lines = {key: " ".join(str(value).split())[:64] for key, value in facts.items() if value is not None}
    return {key: line for key, line in lines.items() if line}
