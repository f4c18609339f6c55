"""Evaluation called with what it cannot take: one line that says what was wrong and what is accepted."""

from __future__ import annotations

import re

import pytest

from lcx_fast import InvalidArgument, evaluation

DATASET = {
    "images": [{"id": 1, "width": 20, "height": 20}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "mass"}],
}
FOUND = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}


def coco(**more):
    return evaluation.CocoEvaluator(DATASET, iou_type="bbox", **more)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda: evaluation.CocoEvaluator(None),
            "reference is a NoneType; needed: a COCO dataset, its path or a dictionary",
        ),
        (lambda: evaluation.CocoEvaluator([]), "reference is a list; needed: a COCO dataset, its path"),
        (
            lambda: coco().evaluate(None),
            "predictions are a NoneType; a path or a list of dictionaries is needed",
        ),
        (lambda: coco().evaluate(FOUND), "predictions are a dict; a path or a list of dictionaries is needed"),
    ],
)
def test_wrong_calls_are_refused(call, told):
    with pytest.raises(InvalidArgument, match=re.escape(told)) as error:
        call()
    assert "\n" not in str(error.value)


def test_coco_takes_any_list_of_predictions():
    expected = coco().evaluate([FOUND])
    assert expected.stats["AP"] == pytest.approx(1)
    assert coco().evaluate((FOUND,)) == expected and coco().evaluate(iter([FOUND])) == expected
    assert coco().evaluate([]).stats["AP"] == 0.0
