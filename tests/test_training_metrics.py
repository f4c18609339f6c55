"""The metrics on cases small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from training import metrics


def blobs(*boxes: tuple[int, int, int, int, float]) -> np.ndarray:
    probability = np.zeros((60, 60), np.float32)
    for y0, x0, y1, x1, value in boxes:
        probability[y0:y1, x0:x1] = value
    return probability


def result(probability: np.ndarray, outlines: np.ndarray, patient: str = "a") -> metrics.ImageResult:
    labels, scores = metrics.find_detections(probability, pixel_spacing_mm=1.0)
    return metrics.compare(labels, scores, outlines, patient=patient)


def outline(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    labels = np.zeros((60, 60), np.int16)
    for index, (y0, x0, y1, x1) in enumerate(boxes, start=1):
        labels[y0:y1, x0:x1] = 2 * index  # numbered with gaps
    return labels


def test_detections_are_ranked_and_small_or_faint_ones_left_out() -> None:
    probability = blobs((0, 0, 10, 10, 0.7), (20, 20, 30, 30, 0.9), (40, 40, 44, 44, 0.99), (50, 0, 60, 9, 0.4))
    labels, scores = metrics.find_detections(probability, pixel_spacing_mm=1.0)
    assert scores == pytest.approx([0.9, 0.7])
    assert labels[25, 25] == 1 and labels[5, 5] == 2 and labels[41, 41] == 0
    _, seeded = metrics.find_detections(probability, pixel_spacing_mm=1.0, threshold=0.3, seed_threshold=0.8)
    assert seeded == pytest.approx([0.9])


def test_overlaps() -> None:
    found = result(blobs((0, 0, 10, 10, 0.8)), outline((0, 0, 10, 5), (40, 40, 50, 50)))
    assert found.iou == pytest.approx(np.array([[0.5, 0.0]]))
    assert found.iop == pytest.approx([0.5])


def test_average_precision_by_hand() -> None:
    # Descending scores: hit, miss, hit; three outlines. Precision at the hits: 1, 2/3.
    first = result(blobs((0, 0, 10, 10, 0.9), (20, 0, 30, 10, 0.8)), outline((0, 0, 10, 10), (40, 40, 50, 50)))
    second = result(blobs((0, 0, 10, 10, 0.7)), outline((0, 0, 10, 9)))
    assert metrics.average_precision([first, second]) == pytest.approx((1 + 2 / 3) / 3)


def test_two_detections_of_one_outline_are_one_hit_and_one_miss() -> None:
    overlap = np.array([[0.6], [0.9]])
    assert metrics.greedy_matches(overlap, minimum=0.5).tolist() == [True, False]


def test_sensitivity_at_false_positive_rates() -> None:
    empty = outline()
    images = [
        result(blobs((0, 0, 10, 10, 0.95)), empty),
        result(blobs((0, 0, 10, 10, 0.9)), outline((0, 0, 10, 10))),
        result(blobs((0, 0, 10, 10, 0.6)), outline((40, 40, 50, 50))),
        result(blobs((0, 0, 10, 10, 0.55)), outline((0, 0, 10, 10))),
    ]

    def at(rate: float) -> float:
        return metrics.sensitivity_at(images, false_positives_per_image=rate)

    assert at(0.0) == 0.0
    assert at(0.25) == pytest.approx(1 / 3)
    assert at(0.5) == pytest.approx(2 / 3)
    assert metrics.score_at(images, false_positives_per_image=0.25) == pytest.approx(0.9)
    assert metrics.score_at(images, false_positives_per_image=0.0) == 1.0


def test_nothing_detected_scores_zero() -> None:
    nothing = [result(blobs(), outline((0, 0, 10, 10)))]
    assert metrics.average_precision(nothing) == 0.0
    assert metrics.sensitivity_at(nothing, false_positives_per_image=1.0) == 0.0
    assert metrics.intersection_over_prediction(nothing) == 0.0


def test_iop_counts_pixels() -> None:
    images = [result(blobs((0, 0, 10, 10, 0.8)), outline((0, 0, 10, 5)))]
    assert metrics.intersection_over_prediction(images) == pytest.approx(0.5)


def test_roc_auc_counts_ties_half() -> None:
    scores, positive = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    assert metrics.roc_auc(scores, positive) == pytest.approx(3.5 / 4)
    assert np.isnan(metrics.roc_auc(scores, np.ones(4, bool)))


def test_bootstrap_redraws_whole_patients() -> None:
    values = np.array([0.0, 0.0, 1.0, 1.0])
    low, high = metrics.patient_bootstrap(["a", "a", "b", "b"], lambda i: float(values[i].mean()), draws=200)
    assert (low, high) == (0.0, 1.0)
    constant = metrics.patient_bootstrap(["a", "b"], lambda i: 0.5, draws=10)
    assert constant == (0.5, 0.5)
