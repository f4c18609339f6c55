"""Spacing, view, refusals and warnings; and that no patient data comes out of the reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dicom_files as files
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lcx_fast.dicom.read import read_dicom
from lcx_fast.dicom.spacing import NOMINAL_WARNING
from lcx_fast.errors import DicomError, InvalidArgument
from lcx_fast.mammogram import Mammogram

IMAGE = files.breast()


def read(pixels: Any = IMAGE, *, options: dict[str, Any] | None = None, **attributes: Any) -> Mammogram:
    return read_dicom(files.make_file(pixels, **attributes), **(options or {}))


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def raw(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    assert len(old) == len(new)
    return data.replace(old, new)


def test_a_plain_file_has_no_warnings() -> None:
    mammogram = read()
    assert mammogram.warnings == ()
    assert (mammogram.laterality, mammogram.view_position) == ("L", "MLO")
    assert mammogram.sop_instance_uid == "1.2.3.4.5"
    assert mammogram.study_instance_uid == "1.2.3.4"
    assert mammogram.series_instance_uid == "1.2.3"
    assert mammogram.sop_class_uid == "1.2.840.10008.5.1.4.1.1.1.2"
    assert mammogram.name == "bytes"


@pytest.mark.parametrize(
    ("attributes", "expected", "source"),
    (
        ({"ImagerPixelSpacing": [0.07, 0.08]}, (0.07, 0.08), "ImagerPixelSpacing"),
        (
            {"ImagerPixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.08, 0.08),
            "ImagerPixelSpacing",
        ),
        ({"PixelSpacing": [0.05, 0.06], "ImagerPixelSpacing": None}, (0.05, 0.06), "PixelSpacing"),
        ({"PixelSpacing": [0.05, 0.06]}, (0.05, 0.06), "PixelSpacing"),
        ({"PixelSpacing": [0.07, 0.07]}, (0.07, 0.07), "PixelSpacing"),
        # Uncalibrated: only a copy of the spacing in the detector's plane.
        (
            {"PixelSpacing": [0.07, 0.07], "EstimatedRadiographicMagnificationFactor": 1.4},
            (0.05, 0.05),
            "ImagerPixelSpacing",
        ),
        (
            {
                "PixelSpacing": [0.07, 0.07],
                "EstimatedRadiographicMagnificationFactor": 1.4,
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            (0.07, 0.07),
            "PixelSpacing",
        ),
        ({"PixelSpacing": [0, 0]}, (0.07, 0.07), "ImagerPixelSpacing"),
        ({"PixelSpacing": [-0.1, 0.1]}, (0.07, 0.07), "ImagerPixelSpacing"),
        ({"PixelSpacing": [0.1]}, (0.07, 0.07), "ImagerPixelSpacing"),
        ({"ImagerPixelSpacing": None}, (2.5, 2.5), "nominal"),
        ({"ImagerPixelSpacing": [0, 0.1]}, (2.5, 2.5), "nominal"),
        ({"EstimatedRadiographicMagnificationFactor": 0}, (0.07, 0.07), "ImagerPixelSpacing"),
    ),
)
def test_spacing(attributes: dict[str, Any], expected: tuple[float, float], source: str) -> None:
    mammogram = read(**attributes)
    spacing = mammogram.spacing
    assert (spacing.row_mm, spacing.column_mm) == pytest.approx(expected)
    assert spacing.source == source
    assert (NOMINAL_WARNING in mammogram.warnings) == (source == "nominal")
    given = next(iter(attributes.values()))
    numbers = given if isinstance(given, list) else [given]
    is_bad = given is not None and ((len(numbers) < 2 and isinstance(given, list)) or min(numbers) <= 0)
    assert any("left out" in warning for warning in mammogram.warnings) == is_bad


@pytest.mark.parametrize("text", (b"abcd\\0.07 ", b"nan \\0.07 ", b"1e99\\0.07 ", b"inf \\0.07 "))
def test_spacing_that_is_no_number_is_left_out(text: bytes) -> None:
    data = raw(files.make_file(IMAGE, PixelSpacing=[0.0625, 0.07]), b"0.0625\\0.07 "[:12], text + b"  ")
    mammogram = read_dicom(data)
    assert mammogram.spacing.source == "ImagerPixelSpacing"
    assert any("PixelSpacing is not" in warning for warning in mammogram.warnings)


def test_a_given_spacing_overrides_the_file() -> None:
    spacing = read(options={"pixel_spacing_mm": 0.05}).spacing
    assert (spacing.row_mm, spacing.column_mm, spacing.source) == (0.05, 0.05, "user")
    assert read(options={"pixel_spacing_mm": (0.05, 0.06)}).spacing.column_mm == 0.06
    assert read(ImagerPixelSpacing=None, options={"pixel_spacing_mm": 0.05}).warnings == ()
    for wrong in (0, -1, float("nan"), "x", (1, 2, 3), [0.1]):
        with pytest.raises(InvalidArgument):
            read(options={"pixel_spacing_mm": wrong})


@pytest.mark.parametrize(
    ("code", "view"),
    (
        ("399162004", "CC"),
        ("R-10242", "CC"),
        ("399368009", "MLO"),
        ("R-10226", "MLO"),
        ("R-10224", "ML"),
        ("R-10228", "LM"),
    ),
)
def test_view_codes(code: str, view: str) -> None:
    codes = Sequence([item(CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning="view")])
    assert read(ViewPosition=None, ViewCodeSequence=codes).view_position == view


def test_view_codes_agree_with_the_standard() -> None:
    from pydicom.sr.codedict import codes

    from lcx_fast.dicom.view import VIEW_OF_CODE

    for name in codes.CID4014.dir():
        code = getattr(codes.CID4014, name)
        if "specimen" not in code.meaning:
            letters = "".join(word[0] for word in code.meaning.replace("-", " ").split()).upper()
            assert VIEW_OF_CODE[code.value][0] in letters + "XF"
    assert VIEW_OF_CODE[codes.SCT.CranioCaudal.value] == "CC"


def test_view_by_code_meaning() -> None:
    codes = Sequence([item(CodeValue="X1", CodingSchemeDesignator="99LOCAL", CodeMeaning="Cranio-Caudal")])
    assert read(ViewPosition=None, ViewCodeSequence=codes).view_position == "CC"


@pytest.mark.parametrize(
    ("orientation", "side", "view"),
    (
        (["A", "R"], "L", "CC"),
        (["P", "L"], "R", "CC"),
        (["A", "FR"], "L", "MLO"),
        (["P", "FL"], "R", "MLO"),
        (["A", "F"], None, None),
        (["MLO"], None, "MLO"),
        (["CC"], None, "CC"),
        (["X", "Y"], None, None),
        (None, None, None),
    ),
)
def test_patient_orientation_is_the_last_resort(
    orientation: list[str] | None, side: str | None, view: str | None
) -> None:
    image = files.breast(side="R") if orientation and orientation[0] == "P" else IMAGE
    mammogram = read(image, ImageLaterality=None, ViewPosition=None, PatientOrientation=orientation)
    assert (mammogram.laterality, mammogram.view_position) == (side, view)
    assert len(mammogram.warnings) == 1
    assert "laterality" in mammogram.warnings[0]


def test_laterality_attributes() -> None:
    assert read(ImageLaterality=None, Laterality="L").laterality == "L"
    anatomy = Sequence([item(FrameAnatomySequence=Sequence([item(FrameLaterality="L")]))])
    assert read(ImageLaterality=None, SharedFunctionalGroupsSequence=anatomy).laterality == "L"
    contradicting = read(Laterality="R")
    assert contradicting.laterality == "L"
    assert any("contradicts" in warning for warning in contradicting.warnings)
    assert read(ImageLaterality="B").laterality is None


@pytest.mark.parametrize("side", ("L", "R"))
def test_laterality_is_held_against_the_pixels(side: str) -> None:
    image = files.breast(side=side)
    assert read(image, ImageLaterality=side).warnings == ()
    wrong = read(image, ImageLaterality="R" if side == "L" else "L")
    assert len(wrong.warnings) == 1
    assert "mirrored" in wrong.warnings[0]
    assert np.array_equal(wrong.pixels, image)


def test_patient_orientation_tells_how_the_breast_lies() -> None:
    flipped = files.breast(side="R")
    assert read(flipped, PatientOrientation=["P", "R"]).warnings == ()
    assert any("mirrored" in line for line in read(PatientOrientation=["P", "R"]).warnings)


def test_inverted_images_are_compared_after_inversion() -> None:
    image = (4095 - IMAGE).astype(np.uint16)
    assert read(image, PhotometricInterpretation="MONOCHROME1").warnings == ()


def test_functional_groups() -> None:
    frames = np.stack([IMAGE, IMAGE // 2])
    shared = item(
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.09, 0.09])]),
        FrameVOILUTSequence=Sequence([item(WindowCenter=2048, WindowWidth=4096)]),
    )
    own = [
        item(FrameVOILUTSequence=Sequence([item(WindowCenter=1000, WindowWidth=2000)])),
        item(),
    ]
    attributes = {
        "ImagerPixelSpacing": None,
        "SharedFunctionalGroupsSequence": Sequence([shared]),
        "PerFrameFunctionalGroupsSequence": Sequence(own),
    }
    first, second = (read(frames, options={"frame": i}, **attributes) for i in (0, 1))
    assert first.spacing.row_mm == second.spacing.row_mm == 0.09
    assert np.array_equal(first.pixels, read(WindowCenter=1000, WindowWidth=2000).pixels)
    assert np.array_equal(second.pixels, read(IMAGE // 2, WindowCenter=2048, WindowWidth=4096).pixels)
    assert second.attributes["frame"] == "1"


def test_remarks() -> None:
    mammogram = read(BreastImplantPresent="YES", PartialView="YES")
    assert any("implant" in line for line in mammogram.warnings)
    assert any("partial view" in line for line in mammogram.warnings)
    assert read(BreastImplantPresent="NO", PartialView="NO").warnings == ()
    assert read(Modality="CT").warnings == ("the modality is CT, not MG",)


def test_for_processing_is_refused_unless_allowed() -> None:
    for attributes in (
        {"PresentationIntentType": "FOR PROCESSING"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1"},
    ):
        with pytest.raises(DicomError, match="allow_for_processing=True"):
            read(**attributes)
        allowed = read(options={"allow_for_processing": True}, **attributes)
        assert any("FOR PROCESSING" in warning for warning in allowed.warnings)


@pytest.mark.parametrize(
    ("attributes", "message"),
    (
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "RGB with 3"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"PhotometricInterpretation": None}, "MONOCHROME1 and MONOCHROME2"),
        ({"SamplesPerPixel": None}, "SamplesPerPixel is missing"),
        ({"Rows": None}, "Rows is missing"),
        ({"Rows": 0}, "Rows 0"),
        ({"Rows": 40000}, "Rows 40000"),
        ({"Columns": 65535}, "Columns 65535"),
        ({"Rows": 32768, "Columns": 32768}, "at most 400000000"),
        ({"NumberOfFrames": 100000}, "NumberOfFrames 100000"),
        ({"NumberOfFrames": 0}, "NumberOfFrames 0"),
        ({"BitsAllocated": 32}, "BitsAllocated 32"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "BitsAllocated 1"),
        ({"BitsStored": 17}, "BitsStored 17"),
        ({"HighBit": 20}, "HighBit 20"),
        ({"HighBit": 3}, "HighBit 3"),
        ({"PixelRepresentation": 2}, "PixelRepresentation 2"),
    ),
)
def test_unusable_headers_are_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(DicomError, match=message):
        read(**attributes)


def test_hologic_secondary_capture_is_refused() -> None:
    dataset = files.header(IMAGE, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    dataset.private_block(0x7E01, "HOLOGIC, Inc.", create=True).add_new(1, "LO", "frames")
    with pytest.raises(DicomError, match="Hologic tomosynthesis"):
        read_dicom(files.encode_file(dataset, files.native_value(IMAGE), files.EXPLICIT))
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    assert read_dicom(files.encode_file(dataset, files.native_value(IMAGE), files.EXPLICIT)).shape == IMAGE.shape


def test_objects_without_pixels_are_refused() -> None:
    data = files.make_file(IMAGE)
    start = data.index(b"\xe0\x7f\x10\x00OW")
    with pytest.raises(DicomError, match="no pixel data"):
        read_dicom(data[:start])
    with pytest.raises(DicomError, match="floating-point"):
        read_dicom(data[:start] + b"\xe0\x7f\x08\x00OF" + data[start + 6 :])
    with pytest.raises(DicomError, match="no pixel data"):
        read_dicom(files.header(IMAGE))


def test_unknown_transfer_syntaxes_are_refused() -> None:
    value = files.encapsulate([b"\0\0"])
    with pytest.raises(DicomError, match=r"1\.2\.840\.10008\.1\.2\.4\.100 is not read"):
        read_dicom(files.encode_file(files.header(IMAGE), value, "1.2.840.10008.1.2.4.100"))


def test_what_is_no_file_is_an_invalid_argument(tmp_path: Path) -> None:
    empty = tmp_path / "empty.dcm"
    empty.touch()
    for source in (tmp_path / "absent.dcm", tmp_path, empty, b"", 5, None, "\0"):
        with pytest.raises(InvalidArgument):
            read_dicom(source)  # type: ignore[arg-type]
    text = tmp_path / "text.dcm"
    text.write_text("just a text\n" * 50)
    with pytest.raises(DicomError, match="not a DICOM file"):
        read_dicom(text)
    with text.open() as file, pytest.raises(InvalidArgument, match="text mode"):
        read_dicom(file)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_no_patient_data_comes_out() -> None:
    extra = {"AccessionNumber": files.SECRET[:16], "ViewPosition": "^SECRET", "PatientOrientation": [files.SECRET]}
    good = files.make_file(IMAGE, files.JPEG_LOSSLESS, **extra, PatientComments=files.SECRET)
    said = [repr(read_dicom(good))]
    for change in ({"Rows": 5}, {"BitsStored": 3}, {"NumberOfFrames": 3}, {"PhotometricInterpretation": "RGB"}):
        with pytest.raises(DicomError) as caught:
            read_dicom(files.make_file(IMAGE, files.JPEG_LOSSLESS, **extra, **change))
        said.append(repr(caught.value))
    for cut in range(1, len(good), 97):
        with pytest.raises(DicomError) as caught:
            read_dicom(good[:cut])
        said.append(repr(caught.value))
        assert caught.value.__cause__ is None
    assert not any("SECRET" in line for line in said)
