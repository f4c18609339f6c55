"""The DDSM reader on case folders written here in the published layout, malformed ones included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from training.datasets.ddsm import Ddsm
from training.datasets.ddsm_film import decode_ljpeg, differences, optical_density, read_raw, rebuild
from training.datasets.ddsm_text import chain_points, lesion_class, read_ics, read_overlay
from training.datasets.record import DatasetError

LINES, PIXELS = 90, 64
SQUARE = [20, 30, *[2] * 10, *[4] * 12, *[6] * 10, *[0] * 12]  # columns 20..30, rows 30..42
MASS = "LESION_TYPE MASS SHAPE IRREGULAR MARGINS SPICULATED"


def ics_text(name: str = "A-1234-1", digitizer: str = "HOWTEK", overlays: tuple[str, ...] = ("LEFT_CC",)) -> str:
    films = "".join(
        f"{view} LINES {LINES} PIXELS_PER_LINE {PIXELS} BITS_PER_PIXEL 12 RESOLUTION 43.5 "
        f"{'OVERLAY' if view in overlays else 'NON_OVERLAY'}\n"
        for view in ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
    )
    return (
        f"ics_version 1.0\nfilename {name}\nDATE_OF_STUDY 2 7 1995\nPATIENT_AGE 42\nFILM \nFILM_TYPE REGULAR\n"
        f"DENSITY 3\nDATE_DIGITIZED 7 22 1997 \nDIGITIZER {digitizer}\nSELECTED\n{films}"
    )


def overlay_text(*abnormalities: str, total: int | None = None) -> str:
    return f"TOTAL_ABNORMALITIES {len(abnormalities) if total is None else total}\n" + "".join(
        f"ABNORMALITY {k}\n{text}" for k, text in enumerate(abnormalities, start=1)
    )


def abnormality(
    types: tuple[str, ...] = (MASS,), pathology: str = "MALIGNANT", chain: list[int] | None = None, core: bool = False
) -> str:
    outline = " ".join(map(str, chain or SQUARE)) + " #\n"
    inner = "\tCORE\n\t22 32 2 2 4 4 6 6 0 0 #\n" if core else ""
    return (
        "".join(f"{line}\n" for line in types)
        + f"ASSESSMENT 5\nSUBTLETY 4\nPATHOLOGY {pathology}\nTOTAL_OUTLINES {2 if core else 1}\n"
        + f"BOUNDARY\n{outline}{inner}"
    )


def film(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4096, (LINES, PIXELS)).astype(np.uint16)


def howtek_a(grey: np.ndarray) -> np.ndarray:
    density = (3.789 - 0.00094568 * grey.clip(0, 4006)).astype(np.float32).astype(float)
    return np.round((4 - density) * 10000)


def write_case(
    folder: Path, *, name: str = "A-1234-1", ics: str | None = None, overlay: str | None = None, newline: str = "\n"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stem = name.replace("-", "_")
    (folder / f"{name}.ics").write_text(ics or ics_text(name), encoding="latin-1", newline=newline)
    for k, view in enumerate(("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")):
        film(k).astype(">u2").tofile(folder / f"{stem}.{view}.LJPEG.1")
    text = overlay_text(abnormality(core=True)) if overlay is None else overlay
    (folder / f"{stem}.LEFT_CC.OVERLAY").write_text(text, encoding="latin-1", newline=newline)
    return folder


def encode_lossless(pixels: np.ndarray, *, predictor: int, stanford: bool, size: tuple[int, int]) -> bytes:
    """A lossless JPEG of ``size`` whose first row follows the standard or the Stanford codec, in plain Python."""
    image = pixels.reshape(size).astype(int)
    rules = {
        1: lambda a, b, c: a,
        2: lambda a, b, c: b,
        3: lambda a, b, c: c,
        4: lambda a, b, c: a + b - c,
        5: lambda a, b, c: a + ((b - c) >> 1),
        6: lambda a, b, c: b + ((a - c) >> 1),
        7: lambda a, b, c: (a + b) >> 1,
    }
    bits = ""
    for y in range(size[0]):
        for x in range(size[1]):
            if y == 0:
                left = image[0, x - 1] if x else 1 << 15
                predicted = left if x == 0 or not stanford else rules[predictor](left, 1 << 15, 1 << 15)
            elif x == 0:
                predicted = image[y - 1, 0]
            else:
                predicted = rules[predictor](image[y, x - 1], image[y - 1, x], image[y - 1, x - 1])
            d = int(image[y, x] - predicted) & 0xFFFF
            d = d - 0x10000 if d > 0x8000 else d
            category = abs(d).bit_length()
            bits += f"{category:05b}"  # the table below: symbols 0 to 16, all of five bits
            if 0 < category < 16:
                bits += f"{d if d > 0 else d + (1 << category) - 1:0{category}b}"
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    frame = bytes([16, size[0] >> 8, size[0] & 255, size[1] >> 8, size[1] & 255, 1, 1, 0x11, 0])
    head = b"\xff\xd8\xff\xc3" + (len(frame) + 2).to_bytes(2, "big") + frame
    head += b"\xff\xc4" + (len(table) + 2).to_bytes(2, "big") + table
    return head + b"\xff\xda\x00\x08\x01\x01\x00" + bytes([predictor, 0, 0]) + scan + b"\xff\xd9"


def test_a_case_of_four_films(tmp_path: Path) -> None:
    write_case(tmp_path / "cancers" / "cancer_01" / "case1234")
    found = Ddsm(tmp_path)
    assert not found.skipped
    records = {record.name: record for record in found}
    assert list(records) == [f"A_1234_1.{v}" for v in ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")]
    marked = records["A_1234_1.LEFT_CC"]
    assert (marked.patient, marked.view, marked.laterality) == ("A-1234", "CC", "L")
    assert marked.pathology == "malignant"
    assert marked.spacing_mm == pytest.approx((0.0435, 0.0435))
    assert marked.facts["cores"] == "1"
    assert marked.annotated
    assert len({record.split for record in found}) == 1
    # The same breast's other view may show the lesion though nobody outlined it there; the other breast is normal.
    other, normal = records["A_1234_1.LEFT_MLO"], records["A_1234_1.RIGHT_CC"]
    assert (other.annotated, other.pathology) == (False, "unknown")
    assert (normal.annotated, normal.pathology) == (True, "normal")
    [(lesion, mask)] = found.outline_masks(marked)
    assert lesion == "mass"
    expected = np.zeros((LINES, PIXELS), bool)
    expected[30:43, 20:31] = True
    np.testing.assert_array_equal(mask, expected)


def test_film_becomes_brighter_where_it_is_denser(tmp_path: Path) -> None:
    write_case(tmp_path / "case1234")
    found = Ddsm(tmp_path)
    mammogram = found.load(found.records[0])
    assert mammogram.spacing.row_mm == pytest.approx(0.0435)
    # HOWTEK: a high grey level is a transparent film, so dense tissue.
    order = np.argsort(film(0).ravel(), kind="stable")
    assert (np.diff(mammogram.pixels.ravel()[order].astype(int)) >= 0).all()
    np.testing.assert_array_equal(mammogram.pixels, howtek_a(film(0)))


@pytest.mark.parametrize(
    ("digitizer", "letter", "grey", "density"),
    [
        ("DBA", "A", 64064, 0.0),
        ("DBA", "A", 4, 3.909),
        ("DBA", "A", 0, 3.909),
        ("HOWTEK", "A", 1000, 2.84332),
        ("HOWTEK", "A", 65535, 0.0006),
        ("HOWTEK", "D", 0, 3.96604),
        ("HOWTEK", "D", 4095, 0.00083),
        ("LUMISYS", "B", 0, 3.99995),
        ("LUMISYS", "C", 4097, 0.0),
        ("LUMISYS", "B", 2000, 2.07827),
    ],
)
def test_optical_density(digitizer: str, letter: str, grey: int, density: float) -> None:
    found = optical_density(np.array([[grey]], np.uint16), digitizer, letter)
    assert float(found[0, 0]) == pytest.approx(density, abs=1e-3)


def test_unknown_scanner_is_refused() -> None:
    with pytest.raises(DatasetError, match="HOWTEK C"):
        optical_density(film(), "HOWTEK", "C")


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("stanford", [True, False])
def test_lossless_jpeg_of_either_first_row(predictor: int, stanford: bool) -> None:
    rows, columns = np.mgrid[:17, :23]
    pixels = (2000 + 40 * rows + 25 * columns + film()[:17, :23] % 30).astype(np.uint16)
    stream = encode_lossless(pixels, predictor=predictor, stanford=stanford, size=(17, 23))
    decoded, remark = decode_ljpeg(stream, "film")
    np.testing.assert_array_equal(decoded, pixels)
    assert bool(remark) == (stanford and predictor in (2, 3, 6, 7))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 5)])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_rebuilding_by_the_codecs_rule_is_lossless(shape: tuple[int, int], predictor: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, shape).astype(np.uint16)
    stream = encode_lossless(pixels, predictor=predictor, stanford=True, size=shape)
    import imagecodecs

    standard = imagecodecs.jpeg8_decode(stream).reshape(shape)
    np.testing.assert_array_equal(rebuild(differences(standard, predictor, 16), predictor, 16), pixels)


def test_header_with_height_and_width_exchanged(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case1234")
    raw = folder / "A_1234_1.LEFT_CC.LJPEG.1"
    raw.unlink()
    smooth = (1000 + 3 * np.arange(LINES)[:, None] + 2 * np.arange(PIXELS)[None]).astype(np.uint16)
    stream = encode_lossless(smooth, predictor=7, stanford=True, size=(PIXELS, LINES))
    (folder / "A_1234_1.LEFT_CC.LJPEG").write_bytes(stream)
    found = Ddsm(tmp_path)
    loaded = found.load(found.records[0])
    np.testing.assert_array_equal(loaded.pixels, howtek_a(smooth))
    assert "Stanford" in " ".join(found.notes.by_reason())


@pytest.mark.parametrize("damage", ["cut", "no end", "not a jpeg", "wrong size"])
def test_damaged_ljpeg_is_skipped_and_counted(tmp_path: Path, damage: str) -> None:
    folder = write_case(tmp_path / "case1234")
    (folder / "A_1234_1.LEFT_CC.LJPEG.1").unlink()
    size = (PIXELS, LINES - 1) if damage == "wrong size" else (LINES, PIXELS)
    stream = encode_lossless(
        film()[: size[0], : size[1]] if size == (LINES, PIXELS) else film().ravel()[: size[0] * size[1]],
        predictor=4,
        stanford=False,
        size=size,
    )
    if damage == "cut":
        stream = stream[: len(stream) // 2] + b"\xff\xd9"
    elif damage == "no end":
        stream = stream[:-200]
    elif damage == "not a jpeg":
        stream = b"P5 64 90 255 "
    (folder / "A_1234_1.LEFT_CC.LJPEG").write_bytes(stream)
    found = Ddsm(tmp_path)
    assert len(list(found.read_all())) == 3
    assert [case for case, _ in found.skipped] == ["A_1234_1.LEFT_CC"]


def test_raw_film_of_wrong_length_or_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "film.LJPEG.1"
    film().astype("<u2").tofile(path)
    pixels, remark = read_raw(path, (LINES, PIXELS), bits=12)
    np.testing.assert_array_equal(pixels, film())
    assert "little-endian" in remark
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DatasetError, match="11518 bytes, 11520"):
        read_raw(path, (LINES, PIXELS), bits=12)


def test_windows_line_ends_latin_1_and_mixed_capitals(tmp_path: Path) -> None:
    folder = tmp_path / "case1234"
    text = ics_text().replace("FILM_TYPE REGULAR", "FILM_TYPE r\xe9gulier").replace("filename", "FILENAME")
    write_case(folder, ics=text, newline="\r\n")
    (folder / "A_1234_1.LEFT_CC.OVERLAY").rename(folder / "A_1234_1.LEFT_CC.overlay")
    found = Ddsm(tmp_path)
    assert not found.skipped
    assert len(found.records[0].outlines) == 1


def test_several_lesion_types_and_outlines(tmp_path: Path) -> None:
    calcification = "LESION_TYPE CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED"
    path = tmp_path / "x.OVERLAY"
    small = [5, 5, 2, 2, 4, 4, 6, 6, 0, 0]
    text = overlay_text(
        abnormality((MASS, calcification)),
        abnormality((calcification,), "BENIGN_WITHOUT_CALLBACK", small),
        abnormality(("LESION_TYPE OTHER",), "UNPROVEN"),
    )
    path.write_text(text)
    found = read_overlay(path)
    assert [lesion_class(item.lesion_types) for item in found] == ["mass", "calcification", "other"]
    assert [item.pathology for item in found] == ["malignant", "benign", "unknown"]
    assert found[1].boundary[0].tolist() == [5, 5]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("ARCHITECTURAL_DISTORTION", "distortion"),
        ("IRREGULAR-ARCHITECTURAL_DISTORTION", "mass"),
        ("FOCAL_ASYMMETRIC_DENSITY", "asymmetry"),
        ("ASYMMETRIC_BREAST_TISSUE", "asymmetry"),
        ("LOBULATED-LYMPH_NODE", "mass"),
        ("N/A", "mass"),
    ],
)
def test_lesion_class_by_shape(shape: str, expected: str) -> None:
    assert lesion_class((f"MASS SHAPE {shape} MARGINS SPICULATED",)) == expected


def test_outline_over_several_lines_and_hash_without_a_space(tmp_path: Path) -> None:
    path = tmp_path / "x.OVERLAY"
    chain = " ".join(map(str, SQUARE))
    path.write_text(overlay_text(abnormality()).replace(chain + " #", chain.replace(" 4 4 4 ", " 4\n4 4 ", 1) + "#"))
    assert len(read_overlay(path)[0].boundary) == len(SQUARE) - 1


MALFORMED = {
    "no hash": overlay_text(abnormality()).replace("#", ""),
    "code 8": overlay_text(abnormality(chain=[20, 30, 8, 2, 4, 6, 0])),
    "a letter": overlay_text(abnormality()).replace("20 30 2", "20 30 x"),
    "open": overlay_text(abnormality(chain=[20, 30, *[2] * 30, *[4] * 30])),
    "too short": overlay_text(abnormality(chain=[20, 30, 2])),
    "no boundary": overlay_text(abnormality()).replace("BOUNDARY", "CORE"),
    "two announced": overlay_text(abnormality(), total=2),
    "no header": abnormality(),
    "empty": "",
    "pathology": overlay_text(abnormality(pathology="MAYBE")),
    "two boundaries": overlay_text(abnormality() + "BOUNDARY\n20 30 2 2 4 4 6 6 0 0 #\n"),
    "next before hash": overlay_text(abnormality(core=True)).replace("0 0 #\n\tCORE", "0 0\n\tCORE"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_overlay_skips_its_film_only(tmp_path: Path, kind: str) -> None:
    write_case(tmp_path / "case1234", overlay=MALFORMED[kind])
    write_case(tmp_path / "case1235", name="A-1235-1")
    found = Ddsm(tmp_path)
    assert len(found) == 7
    [(case, reason)] = found.skipped
    assert case == "A_1234_1.LEFT_CC"
    assert "\n" not in reason


def test_missing_overlay_missing_film_and_unreadable_case(tmp_path: Path) -> None:
    first = write_case(tmp_path / "case1234")
    (first / "A_1234_1.LEFT_CC.OVERLAY").unlink()
    second = write_case(tmp_path / "case1235", name="A-1235-1")
    (second / "A_1235_1.RIGHT_CC.LJPEG.1").unlink()
    write_case(tmp_path / "case1236", name="A-1236-1", ics="filename A-1236-1\n")
    found = Ddsm(tmp_path)
    assert len(found) == 6
    reasons = dict(found.skipped)
    assert "missing .OVERLAY" in reasons["A_1234_1.LEFT_CC"]
    assert "missing film" in reasons["A_1235_1.RIGHT_CC"]
    assert "no line for any of" in reasons["A-1236-1.ics"]


def test_overlay_that_the_ics_does_not_announce_is_read_and_noted(tmp_path: Path) -> None:
    write_case(tmp_path / "case1234", ics=ics_text(overlays=()))
    found = Ddsm(tmp_path)
    assert len(found.records[0].outlines) == 1
    assert len(found.notes) == 1


def test_chain_code_directions() -> None:
    points = chain_points(["10", "20", *map(str, range(8))])
    steps = np.diff(points, axis=0).tolist()
    assert points[0].tolist() == [10, 20]
    assert steps == [[0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1]]


def test_ics_of_a_real_layout(tmp_path: Path) -> None:
    path = tmp_path / "B-3024-1.ics"
    path.write_text(
        "ics_version 1.0\nfilename B-3024-1\nDIGITIZER LUMISYS LASER\n"
        "LEFT_CC LINES 4696 PIXELS_PER_LINE 3024 BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY\n"
        "RIGHT_CC LINES 4624 PIXELS_PER_LINE 3056 BITS_PER_PIXEL 12 RESOLUTION 0 NON_OVERLAY\n"
    )
    case = read_ics(path)
    assert case.digitizer == "LUMISYS"
    assert (case.films["LEFT_CC"].lines, case.films["LEFT_CC"].microns) == (4696, 50.0)
    assert case.films["RIGHT_CC"].microns is None
    path.write_text("LEFT_CC LINES many PIXELS_PER_LINE 3024\n")
    with pytest.raises(DatasetError, match="LEFT_CC"):
        read_ics(path)
