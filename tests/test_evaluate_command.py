"""``lcx-fast evaluate`` on every kind of input, as a user runs it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from lcx_fast import InvalidArgument, cli, evaluation, ops
from lcx_fast.evaluation.annotated import _centre, _holds, compare_images
from lcx_fast.evaluation.inputs import read_predictions, read_reference

SHAPE = (60, 50)


def disc(y, x, radius):
    yy, xx = np.indices(SHAPE)
    return np.hypot(yy - y, xx - x) < radius


#: Three images: one lesion found well, one missed beside a false positive, one normal with a false positive.
REFERENCE = {"a": [disc(20, 20, 8)], "b": [disc(40, 30, 6)], "c": []}
PREDICTED = {"a": [(disc(21, 20, 8), 0.9)], "b": [(disc(10, 10, 5), 0.6)], "c": [(disc(30, 30, 7), 0.3)]}


def rle(mask):
    return {"size": list(SHAPE), "counts": ops.encode_rle(mask).to_string().decode()}


def box(mask):
    y, x = np.nonzero(mask)
    return [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]


@pytest.fixture
def coco(tmp_path):
    names = list(REFERENCE)
    images = [
        {"id": k, "file_name": f"folder/{n}.png", "height": 60, "width": 50, "patient_id": n, "pixel_spacing_mm": 0.5}
        for k, n in enumerate(names)
    ]
    annotations = [
        {"id": k, "image_id": names.index(n), "category_id": 7, "segmentation": rle(m), "bbox": box(m), "iscrowd": 0}
        for k, (n, m) in enumerate((n, m) for n, ms in REFERENCE.items() for m in ms)
    ]
    results = [
        {"image_id": names.index(n), "category_id": 7, "segmentation": rle(m), "bbox": box(m), "score": s}
        for n, found in PREDICTED.items()
        for m, s in found
    ]
    for annotation in annotations:
        annotation["area"] = 100
    dataset = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "mass"}]}
    (tmp_path / "reference.json").write_text(json.dumps(dataset))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path / "results.json", tmp_path / "reference.json"


@pytest.fixture
def pictures(tmp_path):
    for folder in ("maps", "masks"):
        (tmp_path / folder).mkdir()
    for name in REFERENCE:
        mask = np.any([np.zeros(SHAPE, bool), *REFERENCE[name]], axis=0)
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
        probability = sum(np.where(m, 0.5 + s / 2, 0) for m, s in PREDICTED[name])
        Image.fromarray((probability * 65535).astype(np.uint16)).save(tmp_path / "maps" / f"{name}.png")
    return tmp_path / "maps", tmp_path / "masks"


@pytest.fixture
def reports(tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    for name, found in PREDICTED.items():
        lesions = [{"score": s, "contours": [p.tolist() for p in ops.trace_contours(m).polygons]} for m, s in found]
        image = {"rows": 60, "columns": 50, "pixel_spacing_mm": [0.5, 0.5]}
        report = {"schema": "lcx_fast.image_report/1", "image": image, "score": 0.5, "lesions": lesions}
        (folder / f"{name}.json").write_text(json.dumps(report))
        Image.fromarray(np.zeros(SHAPE, np.uint8)).save(folder / f"{name}.png")  # the overlay beside it
    return folder


def run(capsys, *arguments):
    code = cli.main(["evaluate", *map(str, arguments), "--draws", "20"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def figures(capsys, *arguments):
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_candidates_left_out_of_reports_are_told(reports, coco, capsys):
    code, _, told = run(capsys, reports, coco[1])
    assert code == 0 and "operating point" not in told
    path = reports / "a.json"
    report = json.loads(path.read_text()) | {"decision": {"candidates_left_out": 2}}
    path.write_text(json.dumps(report))
    code, _, told = run(capsys, reports, coco[1])
    assert code == 0 and "leave out 2 candidates" in told and "--operating-point all" in told
    path.write_text(json.dumps(report | {"decision": "none"}))
    code, _, told = run(capsys, reports, coco[1])
    assert code == 2 and "damaged report" in told


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_coco_json(coco, capsys, iou_type):
    found = figures(capsys, *coco, "--iou-type", iou_type, "--froc")
    assert (found["images"], found["lesions"], found["detections"], found["patients"]) == (3, 2, 3, 3)
    assert found["figures"]["lesions"]["AP at IoU 0.50"][0] == pytest.approx(0.5)
    froc = found["figures"]["FROC, lesions"]
    assert froc["sensitivity at 0.25 FP an image"][0] == pytest.approx(0.5)
    assert found["figures"]["images with a lesion"]["ROC AUC"][0] == pytest.approx(1.0)
    assert ("IoP, all pixels" in found["figures"]["lesions"]) == (iou_type == "segm")
    assert "FROC, size 0 to 10 mm" in found["figures"]


def test_every_kind_of_prediction_says_the_same_as_every_kind_of_reference(coco, pictures, reports, capsys):
    plain = None
    for predictions in (coco[0], pictures[0], reports):
        for reference in (coco[1], pictures[1]):
            if predictions == coco[0] and reference == pictures[1]:
                continue
            found = figures(capsys, predictions, reference)["figures"]["lesions"]
            values = [v[0] for v in found.values()]
            plain = values if plain is None else plain
            np.testing.assert_allclose(values, plain)
    same = figures(capsys, reports, reports)["figures"]["lesions"]
    assert {v[0] for v in same.values()} == {1.0}


def test_a_picture_folder_of_two_values_is_masks(pictures):
    _, masks = pictures
    images = read_predictions(masks, masks)
    assert images["a"].scores.tolist() == [1.0] and images["c"].scores.size == 0
    maps = read_predictions(pictures[0], masks)
    assert maps["a"].scores == pytest.approx([0.95], abs=1e-4)


def test_coco_figures_are_those_of_cocos_own_tools(coco, pictures, reports, capsys):
    official = evaluation.CocoEvaluator(coco[1], iou_type="bbox").evaluate(coco[0]).stats
    assert figures(capsys, *coco, "--iou-type", "bbox")["coco"] == pytest.approx(official)
    segm = figures(capsys, *coco)["coco"]
    assert len(segm) == 12 and 0 < segm["AP50"] < 1
    # The sizes differ, since COCO's file says what area it likes; figures over all sizes do not.
    for predictions in (pictures[0], reports):
        other = figures(capsys, predictions, pictures[1])["coco"]
        for name in ("AP", "AP50", "AP75", "AR1", "AR100"):
            assert other[name] == pytest.approx(segm[name])


def test_the_table_is_readable(coco, capsys):
    code, out, err = run(capsys, *coco, "--froc")
    assert code == 0 and not err
    assert out.startswith(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.")
    counts = "3 images, 2 lesions, 3 detections"
    assert f"\n{counts}; 95 % intervals by redrawing 3 patients (an image that names none counts as one)\n" in out
    assert "  AP at IoU 0.50                  0.500  [" in out
    assert "LUNA16 score (hit: centre inside" in out and max(map(len, out.splitlines())) <= 120


def test_plots_are_written(coco, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    code, _, err = run(capsys, *coco, "--plots", tmp_path / "plots")
    assert code == 0 and err.count("\n") == 3
    for name in ("froc", "precision_recall", "roc"):
        with Image.open(tmp_path / "plots" / f"{name}.png") as picture:
            assert min(picture.size) > 400 and len(np.unique(np.asarray(picture))) > 10


def test_plots_without_matplotlib_say_what_to_install(coco, tmp_path, capsys, monkeypatch):
    for name in [m for m in sys.modules if m.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run(capsys, *coco, "--plots", tmp_path / "plots")
    assert code == 2 and not out
    assert err == "lcx-fast: plots need matplotlib, which is not installed: pip install 'lcx-fast[plots]'\n"


def test_detections_without_a_ranking_are_told(coco, pictures, capsys):
    masks = pictures[1]
    assert "all 2 detections have the same score" in run(capsys, masks, masks)[2]
    assert run(capsys, *coco)[2] == ""


def test_images_without_a_partner_are_told(reports, pictures, capsys):
    (reports / "b.json").unlink()
    (reports / "a.json").rename(reports / "z.json")
    code, out, err = run(capsys, reports, pictures[1])
    assert code == 0 and "\n3 images, 2 lesions, 1 detections" in out
    assert "2 of 3 reference images have no prediction, for instance 'a'" in err
    assert "1 predicted images are not in the reference, for instance 'z'" in err


def damage(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "cannot be read"),
        ("not json", "not JSON"),
        ("deep", "not JSON"),
        ("a number", "neither COCO results"),
        ("no image_id", "not valid COCO JSON (KeyError: 'image_id')"),
        ("unknown image", "image_id 99 is not among"),
        ("another size", "a mask is 3 x 3 pixels, its image 60 x 50"),
        ("results for a folder", "need a COCO dataset as reference"),
        ("an empty folder", "no reports (.json) and no mask pictures"),
        ("no partner", "for instance 'a'; a predicted one is 'q'"),
        ("a foreign report", "not a report of lcx-fast infer"),
        ("a damaged report", "a damaged report (KeyError: 'rows')"),
        ("another shape", "image 'a': the prediction is 10 x 10 pixels, the reference 60 x 50"),
        ("only boxes", "has a box but no mask; use --iou-type bbox"),
        ("a huge image", "an image of 1000000000 x 50 pixels"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(case, message, coco, pictures, tmp_path, capsys):
    predictions, reference = coco
    other = tmp_path / "other.json"
    folder = tmp_path / "folder"
    folder.mkdir()
    entry = json.loads(predictions.read_text())[0]
    report = {"schema": "lcx_fast.image_report/1", "score": 0.5, "lesions": []}
    if case == "missing":
        predictions = tmp_path / "nothing.json"
    elif case in ("not json", "deep", "a number"):
        predictions = damage(other, {"not json": "{", "deep": "[" * 100_000, "a number": "3"}[case])
    elif case in ("no image_id", "unknown image", "another size", "only boxes"):
        changed = {
            "no image_id": {k: v for k, v in entry.items() if k != "image_id"},
            "unknown image": entry | {"image_id": 99},
            "another size": entry | {"segmentation": {"size": [3, 3], "counts": [9]}},
            "only boxes": {k: v for k, v in entry.items() if k != "segmentation"},
        }[case]
        predictions = damage(other, json.dumps([changed]))
    elif case == "results for a folder":
        reference = pictures[1]
    elif case == "a huge image":
        dataset = json.loads(reference.read_text())
        dataset["images"][0]["height"] = 10**9
        reference = damage(other, json.dumps(dataset))
    else:
        predictions = folder
        if case == "no partner":
            Image.fromarray(np.zeros(SHAPE, np.uint8)).save(folder / "q.png")
        elif case == "another shape":
            Image.fromarray(np.zeros((10, 10), np.uint8)).save(folder / "a.png")
        elif case == "a foreign report":
            damage(folder / "a.json", '{"schema": "other"}')
        elif case == "a damaged report":
            damage(folder / "a.json", json.dumps(report | {"image": {}}))
    code, out, err = run(capsys, predictions, reference)
    assert code == 2 and not out
    *warnings, error = err.splitlines()
    assert error.startswith("lcx-fast: ") and message in error
    assert all(line.startswith("warning: ") for line in warnings)


def test_options_are_checked(coco, capsys):
    assert cli.main(["evaluate", *map(str, coco), "--draws", "0"]) == 2
    assert "--draws 0; needed: at least 1" in capsys.readouterr().err
    assert cli.main(["evaluate", *map(str, coco), "--pixel-spacing", "-1"]) == 2
    assert "--pixel-spacing -1; accepted: 0.001 to 10 mm" in capsys.readouterr().err


def test_crowds_are_left_out(coco):
    predictions, reference = coco
    dataset = json.loads(reference.read_text())
    dataset["annotations"][0]["iscrowd"] = 1
    reference.write_text(json.dumps(dataset))
    results = compare_images(read_predictions(predictions, reference), read_reference(reference), iou_type="segm")
    assert [len(result.reference_areas) for result in results] == [0, 1, 0]


@pytest.mark.parametrize("seed", range(20))
def test_masks_compare_as_label_maps_do(seed):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    predicted, truth = (rng.integers(0, 4, shape) * (rng.random(shape) < 0.7) for _ in range(2))
    truth = np.where(truth == 3, 0, truth)
    ids = [k for k in (1, 2, 3) if (predicted == k).any()]
    relabelled = np.zeros(shape, np.int32)
    for rank, k in enumerate(ids, start=1):
        relabelled[predicted == k] = rank
    scores = np.linspace(0.9, 0.1, len(ids))
    expected = evaluation.compare(relabelled, scores, truth, patient="x")
    from lcx_fast.evaluation.annotated import from_masks

    masks = [ops.encode_rle(relabelled == rank) for rank in range(1, len(ids) + 1)]
    references = [ops.encode_rle(truth == k) for k in (1, 2) if (truth == k).any()]
    (ours,) = compare_images(
        {"x": from_masks("x", shape, masks, scores=scores)}, {"x": from_masks("x", shape, references)}, iou_type="segm"
    )
    assert np.array_equal(ours.intersections, expected.intersections)
    assert np.array_equal(ours.predicted_areas, expected.predicted_areas)
    assert np.array_equal(ours.centre_inside, expected.centre_inside)
    for mask in masks:
        y, x = np.nonzero(mask.decode())
        assert _centre(mask) == (int(y.mean() + 0.5), int(x.mean() + 0.5))
        for pixel in ((0, 0), (shape[0] - 1, shape[1] - 1)):
            assert _holds(mask, pixel) == mask.decode()[pixel]


def test_shapes_must_agree():
    from lcx_fast.evaluation.annotated import from_masks

    with pytest.raises(InvalidArgument, match="the prediction is 2 x 3"):
        compare_images({"x": from_masks("x", (2, 3), [])}, {"x": from_masks("x", (2, 4), [])}, iou_type="segm")
