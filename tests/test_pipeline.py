"""The data line: what comes out for images whose lesions are known."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import threading
from dataclasses import replace

import dicom_files
import numpy as np
import pytest
from at_once import errors_at_once
from models import METADATA, breast_image, write_brightness_model

import lcx_fast
from lcx_fast import InvalidArgument, Mammogram, PixelSpacing
from lcx_fast.decision import OperatingPoint
from lcx_fast.engines import SkippedEngine
from lcx_fast.scoring import image_score


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def detector(request, tmp_path_factory):
    path = write_brightness_model(tmp_path_factory.mktemp("model") / "brightness.onnx")
    return lcx_fast.load_model(path, engine=request.param)


def infer(detector, image, spacing=0.5):
    return detector.infer(image, pixel_spacing_mm=spacing)


def test_a_bright_disc_is_found_where_it_is(detector):
    report = infer(detector, breast_image([(120, 60, 14)]))
    (lesion,) = report.lesions
    assert abs(lesion.centroid[0] - 120) < 1 and abs(lesion.centroid[1] - 60) < 1
    assert abs(lesion.area_px / (np.pi * 14**2) - 1) < 0.1
    assert lesion.area_mm2 == pytest.approx(lesion.area_px * 0.25)
    assert lesion.score > 0.95
    # The malignancy map is at most sigmoid(20 * 1 - 18) = 0.88, and so is a score pooled from it.
    assert 0.75 < report.score < 0.881
    assert report.probability_map.spacing.row_mm == pytest.approx(1.0)


def test_lesions_come_best_first_and_small_ones_are_dropped(detector):
    image = breast_image([(100, 50, 12), (220, 60, 10), (160, 100, 1.2)])
    image[90:110, 40:60] = np.minimum(image[90:110, 40:60], 2900)
    report = infer(detector, image)
    assert len(report.lesions) == 2
    scores = [lesion.score for lesion in report.lesions]
    assert scores == sorted(scores, reverse=True)


def test_a_lesion_agrees_with_itself(detector):
    for lesion in infer(detector, breast_image([(100, 50, 12), (200, 60, 17)])).lesions:
        mask = lesion.mask()
        assert mask.shape == (320, 240) and mask.sum() == lesion.area_px
        np.testing.assert_array_equal(lesion.rle().decode(), mask)
        y, x = np.nonzero(mask)
        assert lesion.bounding_box == (y.min(), x.min(), y.max() + 1, x.max() + 1)
        np.testing.assert_allclose(lesion.centroid, (y.mean() + 0.5, x.mean() + 0.5))
        contour = lesion.contours[0]
        assert (contour >= 0).all() and (contour <= (320, 240)).all()


def test_nothing_bright_means_nothing_found(detector):
    report = infer(detector, breast_image([(120, 60, 1.5)]))
    assert report.lesions == ()
    dim = infer(detector, breast_image([(120, 60, 14)]))
    assert report.score < dim.score


def test_black_image_warns(detector):
    report = infer(detector, np.zeros((300, 200), np.uint16))
    assert report.lesions == () and report.score == 0.0
    assert any("no breast" in warning for warning in report.warnings)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_result_follows_the_image_not_its_resolution(detector, factor):
    image = breast_image([(120, 60, 14)])
    report = infer(detector, np.kron(image, np.ones((factor, factor), np.uint16)), 0.5 / factor)
    (lesion,) = report.lesions
    np.testing.assert_allclose(np.array(lesion.centroid) / factor, (120, 60), atol=1)
    assert lesion.area_mm2 == pytest.approx(np.pi * 14**2 * 0.25, rel=0.1)


def test_mirrored_image_gives_mirrored_lesions(detector):
    image = breast_image([(120, 60, 14)])
    a, b = infer(detector, image), infer(detector, np.ascontiguousarray(image[:, ::-1]))
    assert b.lesions[0].centroid[1] == pytest.approx(240 - a.lesions[0].centroid[1], abs=0.5)


def test_without_spacing_the_result_says_so(detector):
    report = detector.infer(breast_image())
    assert report.mammogram.spacing.source == "nominal"
    assert all(lesion.area_mm2 is None for lesion in report.lesions)
    assert any("spacing" in warning for warning in report.warnings)
    assert report.to_dict()["image"]["pixel_spacing_mm"] is None


def test_every_kind_of_source_gives_the_same(detector, tmp_path):
    image = breast_image()
    pgm = b"P5\n240 320\n65535\n" + image.astype(">u2").tobytes()
    path = tmp_path / "film.pgm"
    path.write_bytes(pgm)
    mammogram = Mammogram(image, PixelSpacing(0.5, 0.5, "user"))
    sources = [image, mammogram, path, str(path), pgm, io.BytesIO(pgm), image.astype(np.float64)]
    reports = [infer(detector, source) for source in sources]
    assert len({report.score for report in reports}) == 1
    assert len({report.lesions[0].area_px for report in reports}) == 1


def test_the_transfer_syntax_does_not_matter(detector):
    image = breast_image([(100, 50, 12), (200, 60, 17)])
    image += np.random.default_rng(0).integers(0, 200, image.shape, np.uint16)  # nothing for a codec to simplify
    documents = []
    for syntax in (*dicom_files.NATIVE, *dicom_files.LOSSLESS):
        document = detector.infer(dicom_files.make_file(image, syntax), pixel_spacing_mm=0.5).to_dict()
        documents.append((document["score"], document["lesions"]))
    assert len(documents[0][1]) == 2
    assert all(document == documents[0] for document in documents)


def test_no_patient_data_in_a_report(detector):
    data = dicom_files.make_file(breast_image(), PatientName=dicom_files.SECRET, PatientID=dicom_files.SECRET)
    assert dicom_files.SECRET not in json.dumps(detector.infer(data).to_dict())


@pytest.mark.parametrize(
    "source", [np.zeros((0, 5)), np.zeros((3, 4, 5)), np.array([["a"]]), 7, "/no/such/file.dcm", b""]
)
def test_unusable_sources_are_refused(detector, source):
    with pytest.raises(lcx_fast.LcxError) as caught:
        detector.infer(source)
    assert "\n" not in str(caught.value)


def test_probability_map_at_the_source(detector):
    report = infer(detector, breast_image())
    full = report.probability_map.at_source()
    assert full.shape == (320, 240) and full.dtype == np.float32
    mask = report.lesions[0].mask()
    overlap = (mask & (full >= 0.5)).sum() / (mask | (full >= 0.5)).sum()
    assert overlap > 0.95
    assert np.asarray(report.probability_map).shape == report.probability_map.shape


def test_reports_can_be_pickled_and_copied_and_a_detector_says_why_not(detector, tmp_path):
    film = tmp_path / "film.dcm"
    film.write_bytes(dicom_files.make_file(breast_image()))
    point = OperatingPoint("balanced", 0.5, 0.5, {"sensitivity": 0.9})
    report = replace(infer(detector, film), model=replace(detector.spec, operating_points={"balanced": point}))
    skipped = (SkippedEngine("tensorrt", "cuda", "its plan is being built", pending=threading.Lock()),)
    report = replace(report, engine=replace(report.engine, skipped=skipped))
    for again in (pickle.loads(pickle.dumps(report)), copy.deepcopy(report)):
        assert again.to_dict()["image"] == report.to_dict()["image"]
        assert again.to_dict()["lesions"] == report.to_dict()["lesions"]
        assert again.mammogram.sha256 == hashlib.sha256(film.read_bytes()).hexdigest()
        np.testing.assert_array_equal(again.mammogram.pixels, report.mammogram.pixels)
        np.testing.assert_array_equal(again.lesions[0].mask(), report.lesions[0].mask())
        assert again.model.operating_points == {"balanced": point} and again.engine == report.engine
    for duplicate in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="call load_model in each process"):
            duplicate(detector)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"threads": -1}, "threads -1; accepted: 0"),
        ({"threads": 1.5}, "threads 1.5"),
        ({"threads": 2**40}, "to 1024"),
        ({"device": None}, "device None; accepted"),
        ({"operating_point": 3}, "operating point 3"),
    ],
)
def test_wrong_values_are_refused_by_name(detector, wrong, says):
    with pytest.raises(InvalidArgument, match=says):
        lcx_fast.load_model(detector.spec.path, **wrong)
    assert lcx_fast.load_model(detector.spec.path, threads=np.int64(1)).engine_info.device == "cpu"


def test_one_source_is_not_taken_for_many(detector):
    for source in ("film.dcm", b"DICM"):
        with pytest.raises(InvalidArgument, match="give a list"):
            detector.infer_many(source)


def test_many_threads_share_one_detector(detector):
    images = [breast_image([(100 + 10 * k, 50, 12)]) for k in range(4)]
    expected = [infer(detector, image).lesions[0].centroid for image in images]
    got: dict[int, list] = {k: [] for k in range(4)}

    def work(k):
        for _ in range(5):
            got[k].append(infer(detector, images[k]).lesions[0].centroid)

    assert not errors_at_once(work)
    assert all(centroid == expected[k] for k in range(4) for centroid in got[k])
    assert all(len(got[k]) == 5 for k in range(4))


def test_report_is_json_with_a_manifest(detector):
    document = json.loads(json.dumps(infer(detector, breast_image()).to_dict(), allow_nan=False))
    assert document["schema"] == "lcx_fast.image_report/1"
    assert "Research use only" in document["notice"]
    manifest = document["manifest"]
    assert manifest["engine"]["precision"] == "fp32"
    assert {s["name"] for s in manifest["engine"]["skipped"]} >= {"tensorrt"}
    assert len(manifest["model"]["sha256"]) == 64
    assert document["lesions"][0]["contours"][0][0]


def test_metadata_and_network_must_agree(tmp_path):
    path = write_brightness_model(tmp_path / "m.onnx", METADATA | {"tile_shape": [32, 32]})
    with pytest.raises(lcx_fast.EngineError, match="metadata says"):
        lcx_fast.load_model(path)
    path = write_brightness_model(tmp_path / "n.onnx", METADATA | {"outputs": ["malignant"]})
    with pytest.raises(lcx_fast.EngineError, match=r"metadata says .*, \(1, 1, 64, 64\)\); export it anew"):
        lcx_fast.load_model(path)


def test_image_score_is_its_formula(detector):
    rng = np.random.default_rng(3)
    probability = rng.random((40, 30), np.float32)
    probability[0, 0], probability[0, 1] = 0, 1
    breast = rng.random((40, 30)) < 0.5
    s = detector.spec.image_score
    z = [float(np.log(p / (1 - p))) for p in np.clip(probability[breast].astype(np.float64), 1e-6, 1 - 1e-6)]
    lse = np.log(sum(np.exp(s.lse_r * v) for v in z) / len(z)) / s.lse_r
    top = np.mean(sorted(z)[-max(1, int(np.ceil(s.top_fraction * len(z)))) :])
    expected = 1 / (1 + np.exp(-(s.a1 * lse + s.a2 * top + s.b)))
    assert image_score(probability, breast, s) == pytest.approx(expected, rel=1e-9)
    assert image_score(probability, np.zeros_like(breast), s) == 0.0
    other = replace(s, lse_r=2.5)
    lse = np.log(sum(np.exp(2.5 * v) for v in z) / len(z)) / 2.5
    expected = 1 / (1 + np.exp(-(s.a1 * lse + s.a2 * top + s.b)))
    assert image_score(probability, breast, other) == pytest.approx(expected, rel=1e-9)


def test_breast_mask_of_any_numeric_image():
    image = breast_image()
    expected = lcx_fast.breast_mask(image)
    assert expected.shape == image.shape and expected.dtype == bool
    assert expected[160, 20] and not expected[5, 235]
    for other in (image.astype(np.float64), image.astype(np.int32), image.astype(np.float32) / 3000):
        assert np.array_equal(lcx_fast.breast_mask(other), expected)
    assert np.array_equal(lcx_fast.breast_mask(Mammogram(image, PixelSpacing(0.1, 0.1, "user"))), expected)
    with pytest.raises(InvalidArgument, match="2-D numeric"):
        lcx_fast.breast_mask(np.zeros((2, 2, 2)))


def test_sources_and_models_that_cannot_be_read_are_told(detector):
    closed = io.BytesIO(b"film")
    closed.close()

    class Gone:
        def read(self):
            raise ConnectionResetError(104, "Connection reset by peer")

    for source, told in (
        (closed, "cannot read from the file object: I/O operation on closed file"),
        (Gone(), "cannot read from the file object: Connection reset by peer"),
        ("a\0b", r"cannot read 'a\\x00b': embedded null"),
    ):
        with pytest.raises(lcx_fast.InvalidArgument, match=told):
            detector.infer(source)
    with pytest.raises(lcx_fast.InvalidArgument, match="model 3; needed: a bundled model's name or the path"):
        lcx_fast.load_model(3)
