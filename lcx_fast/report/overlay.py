"""The mammogram with its lesions outlined, to be looked at."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..preprocess import coarse_view, window_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from ..lesions import Lesion
    from ..pipeline import ImageReport

#: Long side of the picture in pixels. A screen's height; the full film would be some 10 MB of PNG.
LONG_SIDE = 1600
#: Lines and text are drawn this much larger and reduced, which smooths them.
SUPERSAMPLING = 2

OUTLINE_COLOUR = (255, 214, 10)
HALO_COLOUR = (0, 0, 0)
TEXT_COLOUR = (235, 235, 235)
STRIP_COLOUR = (24, 24, 24)
#: Said within the first bytes of the file, so that our own pictures are told from images to read.
OVERLAY_MARK = b"lcx_fast overlay"
OVERLAY_MARK_WITHIN = 256
SCALE_BAR_LENGTHS_MM = (100, 50, 20, 10, 5, 2, 1)


def render_overlay(report: ImageReport) -> Image:
    """An RGB picture: the mammogram, numbered outlines with scores, a scale bar, and a caption below."""
    from PIL import Image as PilImage
    from PIL import ImageDraw, ImageFont

    mammogram = report.mammogram
    reduction = max(1.0, max(mammogram.shape) / LONG_SIDE)
    grey = display_values(mammogram.pixels, reduction)
    height, width = grey.shape
    strip = max(56, height // 22)
    base = PilImage.new("RGB", (width, height + strip), STRIP_COLOUR)
    base.paste(PilImage.fromarray(grey).convert("RGB"), (0, 0))

    large = base.resize((base.width * SUPERSAMPLING, base.height * SUPERSAMPLING), PilImage.Resampling.BILINEAR)
    draw = ImageDraw.Draw(large)
    zoom = SUPERSAMPLING / reduction
    font: Any = ImageFont.load_default(size=max(14, height // 60) * SUPERSAMPLING)
    for lesion in report.lesions:
        for contour in lesion.contours:
            points = [(float(x) * zoom, float(y) * zoom) for y, x in contour]
            points.append(points[0])
            draw.line(points, fill=HALO_COLOUR, width=5 * SUPERSAMPLING, joint="curve")
            draw.line(points, fill=OUTLINE_COLOUR, width=2 * SUPERSAMPLING, joint="curve")
    for number, lesion in enumerate(report.lesions, start=1):
        _draw_label(draw, font, number, lesion, zoom, (width * SUPERSAMPLING, height * SUPERSAMPLING))
    _draw_scale_bar(draw, font, report, zoom, (width * SUPERSAMPLING, height * SUPERSAMPLING))
    _draw_caption(draw, font, report, height * SUPERSAMPLING, strip * SUPERSAMPLING)
    return large.resize(base.size, PilImage.Resampling.BOX)


def overlay_content(report: ImageReport) -> bytes:
    """The picture as a PNG file's content."""
    from PIL.PngImagePlugin import PngInfo

    buffer, facts = io.BytesIO(), PngInfo()
    facts.add_text("Software", OVERLAY_MARK.decode())
    # Level 1: a third of the time of the default for a tenth more bytes.
    render_overlay(report).save(buffer, "PNG", compress_level=1, pnginfo=facts)
    return buffer.getvalue()


def display_values(pixels: NDArray[Any], reduction: float) -> NDArray[np.uint8]:
    """uint8 [h, w]: the image reduced, windowed to the breast's values."""
    coarse = coarse_view(pixels)
    low, high = window_of(coarse, low_percentile=0.5, high_percentile=99.9)
    reduced = ops.resample(pixels, scale=(reduction, reduction))
    return np.asarray(np.clip((reduced - low) * (255 / (high - low)), 0, 255), np.uint8)


def _text(draw: ImageDraw, at: tuple[float, float], text: str, font: Any, *, anchor: str, colour: Any) -> None:
    draw.text(
        at,
        text,
        font=font,
        anchor=anchor,
        fill=colour,
        stroke_width=2 * SUPERSAMPLING,
        stroke_fill=HALO_COLOUR,
    )


def _draw_label(draw: ImageDraw, font: Any, number: int, lesion: Lesion, zoom: float, size: tuple[int, int]) -> None:
    y0, x0, y1, _ = (value * zoom for value in lesion.bounding_box)
    text = f"{number}  {lesion.score:.2f}"
    if lesion.area_mm2 is not None:
        text += f"  {lesion.area_mm2:.0f} mm²"
    width = draw.textlength(text, font=font)
    line = font.size * 1.4
    x = min(max(x0, 4.0), max(4.0, size[0] - width - 8))
    y = y0 - line if y0 > line + 4 else min(y1 + 6, size[1] - line)
    _text(draw, (x, y), text, font, anchor="lt", colour=OUTLINE_COLOUR)


def _draw_scale_bar(draw: ImageDraw, font: Any, report: ImageReport, zoom: float, size: tuple[int, int]) -> None:
    spacing = report.mammogram.spacing
    if not spacing.is_physical:
        return
    per_mm = zoom / spacing.column_mm
    length = next((n for n in SCALE_BAR_LENGTHS_MM if n * per_mm <= size[0] / 4), None)
    if length is None:
        return
    right, bottom = size[0] - 0.03 * size[0], size[1] - 0.02 * size[1]
    left = right - length * per_mm
    thick = 2 * SUPERSAMPLING
    draw.rectangle((left - 2, bottom - thick - 2, right + 2, bottom + 2), fill=HALO_COLOUR)
    draw.rectangle((left, bottom - thick, right, bottom), fill=TEXT_COLOUR)
    _text(draw, ((left + right) / 2, bottom - thick - 4), f"{length} mm", font, anchor="mb", colour=TEXT_COLOUR)


def _draw_caption(draw: ImageDraw, font: Any, report: ImageReport, top: int, height: int) -> None:
    from PIL import ImageFont

    mammogram = report.mammogram
    view = " ".join(filter(None, (mammogram.laterality, mammogram.view_position))) or "view unknown"
    count = len(report.lesions)
    facts = f"{view}   score {report.score:.2f}   {count} lesion{'' if count == 1 else 's'}"
    if report.decision is not None:
        name = report.decision.operating_point.replace("_", " ")
        facts += f"   {'recall' if report.decision.recall else 'no recall'} ({name})"
    if not mammogram.spacing.is_physical:
        facts += "   scale unknown"
    small: Any = ImageFont.load_default(size=int(font.size * 0.75))
    x = 10 * SUPERSAMPLING
    draw.text((x, top + height * 0.32), facts, font=font, anchor="lm", fill=TEXT_COLOUR)
    line = f"{mammogram.name}   {report.model.name} {report.model.version}   research use only"
    draw.text((x, top + height * 0.74), line, font=small, anchor="lm", fill=TEXT_COLOUR)
