"""COCO and VGG Image Annotator files, written here in their published layouts, oddities included."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("scipy")

from training.datasets.coco import Coco, decode_counts
from training.datasets.record import DatasetError
from training.datasets.via import Via

SIZE = (64, 48)
SQUARE = [(10, 20), (30, 20), (30, 40), (10, 40)]


# COCO


def encode_counts(counts: list[int]) -> str:
    """COCO's compressed string, written from its description."""
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        while True:
            group = value & 31
            value >>= 5
            more = value != (-1 if group & 16 else 0)
            text += chr(48 + group + (32 if more else 0))
            if not more:
                break
    return text


def runs(mask: np.ndarray) -> list[int]:
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return [0, *counts] if flat[0] else counts


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    def build(annotations: list[dict[str, object]], **image: object) -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(SIZE)).save(tmp_path / "images" / "a.png")
        content = {
            "images": [{"id": 7, "file_name": "a.png", "height": 64, "width": 48} | image],
            "categories": [{"id": 1, "name": "Malignant mass"}, {"id": 2, "name": "calcifications"}],
            "annotations": [{"id": k, "image_id": 7, "category_id": 1} | a for k, a in enumerate(annotations)],
        }
        (tmp_path / "annotations.json").write_text(json.dumps(content), encoding="utf-8-sig")
        return tmp_path

    return build


def test_coco_shapes_agree(coco: Callable[..., Path]) -> None:
    rng = np.random.default_rng(3)
    wanted = rng.random(SIZE) < 0.4
    wanted[0, 0] = True
    box = np.zeros(SIZE, bool)
    box[20:40, 10:30] = True
    polygon = [10, 20, 30, 20, 30, 40, 10, 40]
    root = coco(
        [
            {"segmentation": {"counts": runs(wanted), "size": list(SIZE)}, "iscrowd": 1},
            {"segmentation": {"counts": encode_counts(runs(wanted)), "size": list(SIZE)}},
            {"segmentation": [polygon]},
            {"bbox": [10, 20, 20, 20], "category_id": 2, "pathology": "benign"},
            {"segmentation": [polygon, [0, 0, 5, 0, 5, 5, 0, 5]]},
        ],
        patient="p1",
        split="validation",
        view="cc",
        laterality="left",
        pixel_spacing_mm=0.1,
    )
    found = Coco(root)
    [record] = found
    assert (record.patient, record.split, record.view, record.laterality) == ("p1", "val", "CC", "L")
    assert [outline.lesion for outline in record.outlines] == ["mass", "mass", "mass", "calcification", "mass"]
    assert record.outlines[3].pathology == "benign"
    assert record.pathology == "malignant"
    masks = [mask for _, mask in found.outline_masks(record)]
    np.testing.assert_array_equal(masks[0], wanted)
    np.testing.assert_array_equal(masks[1], wanted)
    np.testing.assert_array_equal(masks[2], box)
    np.testing.assert_array_equal(masks[3], box)
    assert masks[4][:5, :5].all()
    mammogram = found.load(record)
    assert mammogram.shape == SIZE
    assert mammogram.spacing.row_mm == pytest.approx(0.1)
    assert not found.skipped
    assert not found.notes


@pytest.mark.parametrize("seed", range(5))
def test_coco_compressed_runs_round_trip(seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 100000, 40).tolist()
    assert decode_counts(encode_counts(counts)).tolist() == counts


@pytest.mark.parametrize("text", ["\x10", "o", "P" * 20 + "oooooooooooooooo"])
def test_coco_broken_runs_are_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="run-length"):
        decode_counts(text)


def test_coco_oddities_are_skipped_or_noted(coco: Callable[..., Path]) -> None:
    root = coco([{"bbox": [1, 2, 3, 4], "category_id": 99}])
    found = Coco(root)
    assert len(found) == 0
    assert "category 99" in dict(found.skipped)["a.png"]
    found = Coco(coco([{"segmentation": [[1, 2, 3]]}]))
    assert "six" in dict(found.skipped)["a.png"]
    found = Coco(coco([{"image_id": 8, "bbox": [1, 2, 3, 4]}], file_name="gone.png"))
    assert dict(found.skipped) == {
        "gone.png": "missing image",
        "image 8": "1 annotations of an image that is not listed",
    }
    found = Coco(coco([{"segmentation": {"counts": [5, 6], "size": [64, 48]}}]))
    assert found.outline_masks(found.records[0]) == []
    assert "add up to 11" in " ".join(found.skipped.by_reason())
    assert "no patient" in " ".join(found.notes.by_reason())


def test_coco_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no COCO"):
        Coco(tmp_path)
    path = tmp_path / "x.json"
    for text in ("{", "[]", '{"images": [], "annotations": 3, "categories": []}', "[" * 100000):
        path.write_text(text)
        with pytest.raises(DatasetError, match="not a COCO file"):
            Coco(path)


# VGG Image Annotator


def write_via(root: Path, rows: list[tuple[str, object, object]]) -> None:
    with (root / "regions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["#filename", "file_size", "file_attributes", "region_count", "region_id"]
        writer.writerow([*columns, "region_shape_attributes", "region_attributes"])
        for k, (name, shape, attributes) in enumerate(rows):
            shape_text = shape if isinstance(shape, str) else json.dumps(shape)
            writer.writerow([name, 1, "{}", 1, k, shape_text, json.dumps(attributes)])


@pytest.fixture
def via(tmp_path: Path) -> Path:
    for folder, shape in (("small", (16, 12)), ("Low energy images", SIZE)):
        (tmp_path / folder).mkdir()
        for name in ("P1_L_DM_MLO.jpg", "P1_L_CM_MLO.jpg", "P2_R_DM_CC.jpg"):
            noise = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / folder / name, quality=95)
    return tmp_path


def test_via_shapes(via: Path) -> None:
    x, y = [p[0] for p in SQUARE], [p[1] for p in SQUARE]
    rows = [
        ("P1_L_DM_MLO.jpg", {"name": "polygon", "all_points_x": x, "all_points_y": y}, {"type": "Mass"}),
        ("P1_L_DM_MLO.jpg", {"name": "circle", "cx": 20, "cy": 30, "r": 5.5}, {"class": {"calcification": True}}),
        ("P1_L_DM_MLO.jpg", {"name": "ellipse", "cx": 20, "cy": 30, "rx": 10, "ry": 4}, {"p": "malignant"}),
        ("P1_L_DM_MLO.jpg", {"name": "ellipse", "cx": 20, "cy": 30, "rx": 10, "ry": 4, "theta": np.pi / 2}, {}),
        ("P1_L_DM_MLO.jpg", {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}, {}),
        ("P1_L_DM_MLO.jpg", {"name": "point", "cx": 3, "cy": 4}, {}),
        ("P1_L_DM_MLO.jpg", {"name": "polyline", "all_points_x": x, "all_points_y": y}, {}),
        ("P1_L_CM_MLO.jpg", {"name": "circle", "cx": 20, "cy": 30, "r": 5}, {}),
        ("P2_R_DM_CC.jpg", {}, {}),
    ]
    write_via(via, rows)
    found = Via(via)
    first, second = found
    assert (first.patient, first.laterality, first.view, first.spacing_mm) == ("P1", "L", "MLO", (0.1, 0.1))
    assert [outline.lesion for outline in first.outlines][:3] == ["mass", "calcification", "other"]
    assert first.pathology == "malignant"
    assert (second.outlines, second.annotated) == ((), False)
    masks = [mask for _, mask in found.outline_masks(first)]
    assert masks[0].sum() == masks[6].sum() == 400
    assert masks[1].sum() == pytest.approx(np.pi * 5.5**2, rel=0.05)
    np.testing.assert_array_equal(np.ptp(np.argwhere(masks[2]), axis=0), [8, 20])
    np.testing.assert_array_equal(np.ptp(np.argwhere(masks[3]), axis=0), [20, 8])
    assert masks[4].sum() == 12
    assert masks[5].sum() == 1
    assert found.load(first).shape == SIZE
    assert [case for case, _ in found.notes] == ["P1_L_CM_MLO.jpg"]
    assert not found.skipped


BROKEN_REGIONS = [
    "{not json",
    {"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]},
    {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]},
    {"name": "circle", "cx": 1, "cy": 2},
    {"name": "circle", "cx": 1, "cy": 2, "r": 0},
    {"name": "ellipse", "cx": "x", "cy": 2, "rx": 1, "ry": 1},
    {"name": "star"},
]


@pytest.mark.parametrize("shape", BROKEN_REGIONS)
def test_via_broken_region_takes_its_image_along(via: Path, shape: object) -> None:
    good = {"name": "circle", "cx": 20, "cy": 30, "r": 5}
    write_via(via, [("P1_L_DM_MLO.jpg", good, {}), ("P1_L_DM_MLO.jpg", shape, {}), ("P2_R_DM_CC.jpg", good, {})])
    found = Via(via)
    assert [record.name for record in found] == ["P2_R_DM_CC"]
    assert [case for case, _ in found.skipped] == ["P1_L_DM_MLO.jpg"]


def test_via_outlines_of_another_size_and_missing_images(via: Path) -> None:
    far = {"name": "polygon", "all_points_x": [100, 200, 200], "all_points_y": [100, 100, 300]}
    write_via(via, [("P1_L_DM_MLO.jpg", far, {}), ("P9_L_DM_CC.jpg", far, {})])
    found = Via(via)
    assert list(found.read_all()) == []
    assert dict(found.skipped)["P9_L_DM_CC.jpg"] == "missing image"
    assert "another size" in dict(found.skipped)["P1_L_DM_MLO"]
