"""Ranking metrics, bootstrap and calibration against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
import reference_evaluation as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import InvalidArgument, evaluation

rankings = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 1.0, -3.0]), st.booleans()), max_size=30)


@settings(max_examples=200, deadline=None)
@given(rankings)
def test_auc_and_average_precision_equal_the_definitions(items):
    scores, labels = [s for s, _ in items], [y for _, y in items]
    np.testing.assert_allclose(evaluation.roc_auc(scores, labels), reference.roc_auc(scores, labels), atol=1e-12)
    np.testing.assert_allclose(
        evaluation.ranking_average_precision(scores, labels),
        reference.ranking_average_precision(scores, labels),
        atol=1e-12,
    )


@settings(max_examples=100, deadline=None)
@given(rankings, st.integers(0, 2**31))
def test_weights_count_as_repetitions(items, seed):
    scores, labels = np.array([s for s, _ in items], float), np.array([y for _, y in items], bool)
    weights = np.random.default_rng(seed).integers(0, 3, (4, len(items)))
    for function in (evaluation.roc_auc, evaluation.ranking_average_precision):
        expected = [function(np.repeat(scores, row), np.repeat(labels, row)) for row in weights]
        np.testing.assert_allclose(function(scores, labels, weights=weights), expected, atol=1e-12)


def test_curve_and_groups():
    curve = evaluation.ranking_curve([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    assert curve.thresholds.tolist() == [0.9, 0.5, 0.1]
    assert curve.true_positives.tolist() == [1, 2, 2] and curve.false_positives.tolist() == [0, 1, 2]
    keys = [("a", "L"), ("a", "R"), ("a", "L"), ("b", "L")]
    groups = evaluation.max_by_group([0.2, 0.9, 0.4, 0.1], [True, False, False, False], keys)
    assert groups.scores.tolist() == [0.4, 0.9, 0.1] and groups.labels.tolist() == [True, False, False]
    assert groups.keys == [("a", "L"), ("a", "R"), ("b", "L")]


def test_every_public_name_can_be_had():
    assert set(evaluation.__all__) == set(evaluation._MODULE_OF)
    for name in evaluation.__all__:
        getattr(evaluation, name)


def test_ranking_arguments_are_checked():
    with pytest.raises(InvalidArgument, match="NaN"):
        evaluation.roc_auc([0.1, np.nan], [0, 1])
    with pytest.raises(InvalidArgument, match="shape"):
        evaluation.roc_auc([0.1, 0.2], [0, 1, 1])
    with pytest.raises(InvalidArgument, match="weights"):
        evaluation.roc_auc([0.1, 0.2], [0, 1], weights=[1, 1])
    assert np.isnan(evaluation.roc_auc([0.1, 0.2], [1, 1]))
    assert np.isnan(evaluation.ranking_average_precision([0.1], [0]))


def test_bootstrap_redraws_whole_patients():
    values, patients = np.array([0.0, 0.0, 1.0, 1.0]), ["a", "a", "b", "b"]

    def mean(weights):
        assert (weights[:, 0] == weights[:, 1]).all() and (weights.sum(axis=1) == 4).all()
        return {"mean": weights @ values / weights.sum(axis=1)}

    assert evaluation.patient_bootstrap(mean, patients, draws=200)["mean"] == (0.5, 0.0, 1.0)


def test_bootstrap_is_seeded_and_agrees_with_explicit_resampling():
    rng = np.random.default_rng(1)
    patients = [f"p{k}" for k in rng.integers(0, 40, 120)]
    scores, labels = rng.random(120), rng.random(120) < 0.4

    def auc(weights):
        return {"auc": evaluation.roc_auc(scores, labels, weights=weights)}

    first = evaluation.patient_bootstrap(auc, patients, draws=400, seed=3)
    assert first == evaluation.patient_bootstrap(auc, patients, draws=400, seed=3)
    assert first != evaluation.patient_bootstrap(auc, patients, draws=400, seed=4)
    names = np.array(patients)
    groups = [np.nonzero(names == p)[0] for p in sorted(set(patients))]
    drawn = []
    for _ in range(1500):
        index = np.concatenate([groups[k] for k in rng.integers(0, len(groups), len(groups))])
        drawn.append(reference_auc(scores[index], labels[index]))
    np.testing.assert_allclose(first["auc"][1:], np.percentile(drawn, [2.5, 97.5]), atol=0.02)


def reference_auc(scores, labels):
    return np.mean([(p > scores[~labels]).mean() for p in scores[labels]])


def test_strata_keep_their_sizes_and_patients_their_images():
    patients = ["a", "a", "b", "c", "c", "d"]
    strata = [0, 1, 0, 0, 0, 1]  # a and d are positive
    for block in evaluation.patient_weights(patients, draws=50, seed=0, strata=strata):
        assert (block[:, 0] == block[:, 1]).all()
        assert (block[:, 0] + block[:, 5] == 2).all() and (block[:, 2] + block[:, 3] == 2).all()
    weights = np.concatenate(list(evaluation.patient_weights(["a", "b"], draws=1000, seed=0)))
    assert weights.shape == (1000, 2) and set(np.unique(weights)) == {0.0, 1.0, 2.0}
    assert abs((weights[:, 0] == 1).mean() - 0.5) < 0.05


def test_draws_without_a_value_are_left_out():
    result = evaluation.patient_bootstrap(
        lambda w: {"auc": evaluation.roc_auc([0.9, 0.1], [1, 0], weights=w)}, ["a", "b"], draws=50
    )
    assert result["auc"] == (1.0, 1.0, 1.0)
    with pytest.raises(InvalidArgument, match="at least 1"):
        evaluation.patient_bootstrap(lambda w: {}, [], draws=5)


def test_platt_finds_the_logistic_that_made_the_labels():
    rng = np.random.default_rng(0)
    scores = rng.normal(5.0, 2.0, 40000)
    labels = rng.random(40000) < 1 / (1 + np.exp(-(1.5 * scores - 7.0)))
    fitted = evaluation.fit_platt(scores, labels)
    assert fitted.slope == pytest.approx(1.5, abs=0.06) and fitted.intercept == pytest.approx(-7.0, abs=0.3)
    assert evaluation.expected_calibration_error(fitted(scores), labels) < 0.01
    slope, intercept = evaluation.fit_platt([0.0, 1.0], [0, 1])  # separable: finite all the same
    assert 0 < slope < 100 and np.isfinite(intercept)
    for one_class in ([1, 1], [0, 0]):
        with pytest.raises(InvalidArgument, match="one class"):
            evaluation.fit_platt([0.0, 1.0], one_class)


def test_platt_is_a_minimum_of_its_loss():
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=60), rng.random(60) < 0.3
    fitted = evaluation.fit_platt(scores, labels)
    n = labels.sum()
    targets = np.where(labels, (n + 1) / (n + 2), 1 / (60 - n + 2))

    def loss(slope, intercept):
        z = slope * scores + intercept
        return np.sum(np.logaddexp(0, z) - targets * z)

    for step in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert loss(*fitted) < loss(fitted.slope + step[0], fitted.intercept + step[1])


def test_temperature():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 50000)
    labels = rng.random(50000) < 1 / (1 + np.exp(-logits / 3.0))
    assert evaluation.fit_temperature(logits, labels) == pytest.approx(3.0, rel=0.05)


@settings(max_examples=100, deadline=None)
@given(rankings.filter(len))
def test_isotonic_is_monotone_and_optimal(items):
    scores, labels = np.array([s for s, _ in items]), np.array([float(y) for _, y in items])
    fitted = evaluation.fit_isotonic(scores, labels)
    assert (np.diff(fitted.probabilities) >= 0).all() and (np.diff(fitted.scores) > 0).all()
    values = fitted(scores)
    # The min-max formula of isotonic regression.
    for k, s in enumerate(scores):
        lower = [
            min(labels[(scores >= a) & (scores <= b)].mean() for b in scores[scores >= s]) for a in scores[scores <= s]
        ]
        assert values[k] == pytest.approx(max(lower))


def test_reliability_and_calibration_error_by_hand():
    probabilities, labels = [0.05, 0.05, 0.95, 1.0], [0, 1, 1, 1]
    curve = evaluation.reliability_curve(probabilities, labels)
    np.testing.assert_allclose(curve.predicted, [0.05, 0.975])
    assert curve.observed.tolist() == [0.5, 1.0] and curve.counts.tolist() == [2, 2]
    assert evaluation.expected_calibration_error(probabilities, labels) == pytest.approx(0.5 * 0.45 + 0.5 * 0.025)
    halves = evaluation.reliability_curve([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], bins=2, binning="count")
    assert halves.counts.tolist() == [2, 2] and halves.observed.tolist() == [0.0, 1.0]
    with pytest.raises(InvalidArgument, match="outside"):
        evaluation.reliability_curve([1.5], [1])


def test_operating_points():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    labels = np.array([1, 1, 0, 1, 0, 0, 1, 0], bool)
    points = evaluation.operating_points(scores, labels, sensitivity=0.9, specificity=0.9)
    assert points["high_sensitivity"].sensitivity == 1.0 and points["high_sensitivity"].specificity == 0.25
    assert points["high_specificity"].sensitivity == 0.5 and points["high_specificity"].specificity == 1.0
    assert points["balanced"].sensitivity + points["balanced"].specificity == 1.5
    for point in points.values():
        kept = scores >= point.threshold
        assert kept[labels].mean() == point.sensitivity and (~kept)[~labels].mean() == point.specificity
    nobody = evaluation.operating_points([0.9, 0.1], [0, 1], specificity=0.95)["high_specificity"]
    assert (nobody.sensitivity, nobody.specificity) == (0.0, 1.0) and nobody.threshold > 0.9
