"""Which breast, which view, and whether the pixels agree."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .header import Header

Laterality = Literal["L", "R"]

#: Views for mammography (PS3.16 CID 4014) by SNOMED CT and by SNOMED RT code.
VIEW_OF_CODE = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399260004": "ML",
    "R-10224": "ML",
    "399352003": "LM",
    "R-10228": "LM",
    "399099002": "LMO",
    "R-10230": "LMO",
    "399196006": "FB",
    "R-10244": "FB",
    "399188001": "SIO",
    "R-102D0": "SIO",
    "441555000": "ISO",
    "R-40AAA": "ISO",
    "399192008": "XCCL",
    "R-1024A": "XCCL",
    "399101009": "XCCM",
    "R-1024B": "XCCM",
}

#: Code meanings, for files with codes of their own; longer ones first.
_VIEW_OF_MEANING = {
    "medio-lateral oblique": "MLO",
    "latero-medial oblique": "LMO",
    "cranio-caudal exaggerated laterally": "XCCL",
    "cranio-caudal exaggerated medially": "XCCM",
    "cranio-caudal": "CC",
    "caudo-cranial": "FB",
    "medio-lateral": "ML",
    "medial-lateral": "ML",
    "latero-medial": "LM",
}

_VIEW_NAMES = {*VIEW_OF_CODE.values(), "AT", "CV", "TAN", "RM", "RL", "S"}


def read_laterality(header: Header) -> tuple[Laterality | None, tuple[str, ...]]:
    """L or R from ImageLaterality, FrameLaterality, Laterality or PatientOrientation, in this order.

    Returns:
        The side or None, and warnings (also if two of the attributes disagree).
    """
    stated: list[tuple[str, Laterality]] = []
    for keyword in ("ImageLaterality", "FrameLaterality", "Laterality"):
        code = header.code(keyword)
        if code in ("L", "R"):
            stated.append((keyword, code))  # type: ignore[arg-type]
        elif code == "B":
            return None, (f"{keyword} says that both breasts are in the image",)
    if not stated:
        side = _laterality_of_orientation(read_orientation(header))
        note = "laterality was taken from PatientOrientation" if side else "laterality is unknown"
        return side, (note,)
    first, *others = stated
    disagreeing = [keyword for keyword, side in others if side != first[1]]
    return first[1], tuple(f"{keyword} contradicts {first[0]}, which was followed" for keyword in disagreeing)


def read_view_position(header: Header) -> str | None:
    """CC, MLO, ... from ViewPosition, ViewCodeSequence or PatientOrientation, in this order, or None."""
    position = header.code("ViewPosition")
    if position is not None:
        return position
    for item in header.items("ViewCodeSequence"):
        view = VIEW_OF_CODE.get(item.text("CodeValue") or "")
        meaning = (item.text("CodeMeaning") or "").lower()
        view = view or next((v for name, v in _VIEW_OF_MEANING.items() if name in meaning), None)
        if view is not None:
            return view
    return _view_of_orientation(read_orientation(header))


def read_remarks(header: Header) -> tuple[str, ...]:
    """Warnings about what the image shows: an implant, or part of a breast."""
    remarks = []
    if header.code("BreastImplantPresent") == "YES":
        remarks.append("a breast implant is present")
    if header.code("PartialView") == "YES":
        remarks.append("the image is a partial view of the breast")
    views = header.items("ViewCodeSequence")
    modifiers = [m.text("CodeValue") or "" for v in views for m in v.items("ViewModifierCodeSequence")]
    if any(code in ("399163009", "R-102D6") for code in modifiers):
        remarks.append("the image is a magnification view")
    if any(code in ("399055006", "R-102D7") for code in modifiers):
        remarks.append("the image is a spot compression view")
    if any(code in ("399209000", "R-102D5") for code in modifiers):
        remarks.append("the implant is displaced")
    return tuple(remarks)


def read_orientation(header: Header) -> list[str]:
    """PatientOrientation: directions of rows and columns, or (CBIS-DDSM) the view's name; [] if it is neither."""
    values = [value.upper() for value in header.texts("PatientOrientation")]
    if len(values) == 2 and all(re.fullmatch("[APLRHF]{1,3}", value) for value in values):
        return values
    return values if len(values) == 1 and values[0] in _VIEW_NAMES else []


def check_side(pixels: NDArray[Any], laterality: Laterality | None, header: Header) -> tuple[str, ...]:
    """Compare the side of the image the breast lies on with where the header puts it.

    The chest wall is on the left where rows run to the anterior (PatientOrientation), else, by the way
    mammograms are hung, for a left breast. Coordinates are never mirrored.

    Args:
        pixels: [H, W], brighter meaning denser, padding 0.
        laterality: by the header.
        header: of the frame.

    Returns:
        A warning if they differ, else nothing.
    """
    rows = read_orientation(header)[:1]
    if rows and rows[0][:1] in ("A", "P"):
        expected, reason = ("left" if rows[0][0] == "A" else "right"), f"PatientOrientation {rows[0]}"
    elif laterality is not None:
        expected, reason = ("left" if laterality == "L" else "right"), f"laterality {laterality}"
    else:
        return ()
    found = bright_side(pixels)
    if found is None or found == expected:
        return ()
    return (
        f"{reason} puts the breast on the {expected} of the image, its pixels lie on the {found}: "
        "laterality may be wrong or the image mirrored; coordinates are those of the file",
    )


def bright_side(pixels: NDArray[Any]) -> Literal["left", "right"] | None:
    """The half of the image that is clearly brighter, or None."""
    height, width = pixels.shape
    if width < 16:
        return None
    sample = pixels[:: max(1, height // 128), :: max(1, width // 128)].astype(np.float32)
    sample -= sample.min()
    half = sample.shape[1] // 2
    left, right = float(sample[:, :half].sum()), float(sample[:, -half:].sum())
    if max(left, right) < 1.25 * min(left, right) or left == right:
        return None
    return "left" if left > right else "right"


def _laterality_of_orientation(orientation: list[str]) -> Laterality | None:
    """Columns run medially in a mammogram hung as usual (head or armpit up): towards R in a left breast."""
    if len(orientation) != 2 or orientation[0][0] not in "AP" or set(orientation[1]) - set("LRFH"):
        return None
    down = orientation[1]
    if "H" in down or ("L" in down) == ("R" in down):
        return None
    return "R" if "L" in down else "L"


def _view_of_orientation(orientation: list[str]) -> str | None:
    """CBIS-DDSM stores the view's name here; else columns along the body mean MLO, across it CC."""
    if len(orientation) == 1:
        return orientation[0]
    if len(orientation) != 2 or orientation[0][0] not in "AP" or set(orientation[1]) - set("LRFH"):
        return None
    along = "F" in orientation[1] or "H" in orientation[1]
    across = "L" in orientation[1] or "R" in orientation[1]
    return "MLO" if along and across else "CC" if across else None
