"""The attributes that are read. Nothing else of a header is kept, so no patient data can leak from it."""

#: Top-level tags handed to the parser; sequences come with all their items.
HEADER_TAGS = (
    0x00080005,  # SpecificCharacterSet
    0x00080016,  # SOPClassUID
    0x00080018,  # SOPInstanceUID
    0x00080060,  # Modality
    0x00080068,  # PresentationIntentType
    0x00080070,  # Manufacturer
    0x00081090,  # ManufacturerModelName
    0x00181114,  # EstimatedRadiographicMagnificationFactor
    0x00181164,  # ImagerPixelSpacing
    0x00185101,  # ViewPosition
    0x0020000D,  # StudyInstanceUID
    0x0020000E,  # SeriesInstanceUID
    0x00200020,  # PatientOrientation
    0x00200060,  # Laterality
    0x00200062,  # ImageLaterality
    0x00280002,  # SamplesPerPixel
    0x00280004,  # PhotometricInterpretation
    0x00280008,  # NumberOfFrames
    0x00280010,  # Rows
    0x00280011,  # Columns
    0x00280030,  # PixelSpacing
    0x00280A02,  # PixelSpacingCalibrationType
    0x00280100,  # BitsAllocated
    0x00280101,  # BitsStored
    0x00280102,  # HighBit
    0x00280103,  # PixelRepresentation
    0x00280120,  # PixelPaddingValue
    0x00280121,  # PixelPaddingRangeLimit
    0x00281050,  # WindowCenter
    0x00281051,  # WindowWidth
    0x00281052,  # RescaleIntercept
    0x00281053,  # RescaleSlope
    0x00281056,  # VOILUTFunction
    0x00281300,  # BreastImplantPresent
    0x00281350,  # PartialView
    0x00283000,  # ModalityLUTSequence
    0x00283010,  # VOILUTSequence
    0x00540220,  # ViewCodeSequence
    0x20500020,  # PresentationLUTShape
    0x52009229,  # SharedFunctionalGroupsSequence
    0x52009230,  # PerFrameFunctionalGroupsSequence
    0x7E010010,  # private creator of Hologic's tomosynthesis blocks
    0x7FE00001,  # ExtendedOffsetTable
    0x7FE00002,  # ExtendedOffsetTableLengths
)

#: Attributes of a functional group macro (PS3.3 C.7.6.16) and the sequence that holds it.
MACRO_OF = {
    "PixelSpacing": "PixelMeasuresSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
    "VOILUTFunction": "FrameVOILUTSequence",
    "VOILUTSequence": "FrameVOILUTSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "FrameLaterality": "FrameAnatomySequence",
}
