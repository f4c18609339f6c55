"""Precise lesions from full-field mammograms, fast.

    import lcx_fast

    detector = lcx_fast.load_model()
    report = detector.infer("mammogram.dcm")
    for lesion in report.lesions:
        print(lesion.score, lesion.area_mm2, lesion.bounding_box)

Research use only.
"""

from __future__ import annotations

from .errors import DeviceError, DicomError, EngineError, InvalidArgument, LcxError, Unsupported

TYPE_CHECKING = False  # what type checkers take it for; `typing` itself would take half of the time of this import
if TYPE_CHECKING:
    from . import evaluation, ops
    from .decision import Decision
    from .dicom.read import read_dicom
    from .images import read_image, read_mammogram
    from .lesions import Lesion
    from .mammogram import Mammogram, PixelSpacing
    from .pipeline import Detector, ImageReport, ProbabilityMap, load_model
    from .preprocess import breast_mask

    __version__: str

__all__ = [
    "Decision",
    "Detector",
    "DeviceError",
    "DicomError",
    "EngineError",
    "ImageReport",
    "InvalidArgument",
    "LcxError",
    "Lesion",
    "Mammogram",
    "PixelSpacing",
    "ProbabilityMap",
    "Unsupported",
    "__version__",
    "breast_mask",
    "evaluation",
    "load_model",
    "ops",
    "read_dicom",
    "read_image",
    "read_mammogram",
]

#: Where each public name lives. Loaded on first use, so that ``import lcx_fast`` stays quick.
_HOMES = {
    "Decision": ".decision",
    "Detector": ".pipeline",
    "ImageReport": ".pipeline",
    "ProbabilityMap": ".pipeline",
    "load_model": ".pipeline",
    "Lesion": ".lesions",
    "Mammogram": ".mammogram",
    "PixelSpacing": ".mammogram",
    "breast_mask": ".preprocess",
    "read_dicom": ".dicom.read",
    "read_image": ".images",
    "read_mammogram": ".images",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in ("evaluation", "ops"):
        return import_module(f".{name}", __name__)
    if name == "__version__":
        value: object = _installed_version()
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name], __name__), name)
    else:
        raise AttributeError(f"module 'lcx_fast' has no attribute {name!r}")
    globals()[name] = value
    return value


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lcx-fast")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted(__all__)
