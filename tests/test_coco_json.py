"""The reader of COCO's JSON files: equal to Python's own, strict, and unharmed by damaged files."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from coco_cases import random_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import InvalidArgument
from lcx_fast.evaluation import CocoEvaluator

#: pycocotools decodes masks in a way that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
IMAGES = '"images": [{"id": 1, "height": 9, "width": 9}], "categories": [{"id": 1, "name": "a"}]'
ANNOTATION = '{"image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}'
REFERENCE = "{" + IMAGES + ', "annotations": [' + ANNOTATION + "]}"


@pytest.fixture
def evaluate(tmp_path):
    """Evaluates two JSON texts as files."""

    def call(reference, predictions="[]", iou_type="bbox"):
        for name, text in (("reference.json", reference), ("predictions.json", predictions)):
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return CocoEvaluator(tmp_path / "reference.json", iou_type=iou_type).evaluate(tmp_path / "predictions.json")

    return call


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "reference.json: byte 0: expected an object, found the end of the file"),
        ("[]", r"byte 0: expected an object, found '\['"),
        ("{", "byte 1: expected a member's name in quotes, found the end"),
        ('{"images" []}', r"byte 10: expected ':', found '\['"),
        ('{"images": [}', "byte 12: expected an object, found '}'"),
        ('{"a": 1,}', "byte 8: expected a member's name in quotes"),
        ('{"a": 01}', "byte 7: expected ',' or '}', found '1'"),
        ('{"a": 1.}', "byte 6: expected a value, found '1'"),
        ('{"a": NaN}', "byte 6: expected a value, found 'N'"),
        ('{"a": "b}', "byte 6: expected a string that ends"),
        ('{"a": "b\n"}', "byte 6: expected a string that ends, without control characters"),
        ('{"a": "\\x"}', "byte 6: expected a string without unknown escapes"),
        ('{"a": "\\u12G4"}', "byte 6: expected a string with .u and four hexadecimal digits"),
        ('{"a": tru}', "byte 6: expected a value"),
        ('{"a": 1} x', "byte 9: expected the end of the file, found 'x'"),
        ('{"a": 1}\0', "byte 8: expected the end of the file, found byte 0"),
        ('{"a": ' + "[" * 100_000, "byte 69: expected no more than 64 levels of nesting"),
        ('{"images": [{"id": 1.0}]}', "byte 19: expected an integer below 2.63, without fraction or exponent"),
        ('{"images": [{"id": 99999999999999999999}]}', "expected an integer below 2.63"),
        ('{"images": [{"height": 3}]}', "byte 25: expected an image with an id before here"),
        ('{"annotations": [{"image_id": 1}]}', "expected an annotation with a category_id before here"),
        ('{"annotations": [{"bbox": [1, 2, 3]}]}', "expected a bbox of four numbers before here"),
        ('{"annotations": [{"bbox": [1, 2, 3, 4, 5]}]}', "expected ']' after the four numbers"),
        ('{"annotations": [{"area": 1e999}]}', "byte 26: expected a number that a double can hold"),
        ('{"annotations": [{"area": -}]}', "byte 26: expected a number, found '-'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(evaluate, text, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        evaluate(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ('{"size": [9, 9]}', "a segmentation with counts before here"),
        ('{"counts": "a"}', "a segmentation with a size of height and width before here"),
        ('{"size": [9, 9, 9], "counts": "a"}', "']' after height and width"),
        ('{"size": [9, 9], "counts": [-1]}', "a count within 0 and 2.32 - 1 before here"),
        ('{"size": [9, 9], "counts": "a"}', "annotation 0: the compressed counts end within count 0"),
        ('{"size": [-5, 9], "counts": "a"}', "a segmentation with a size"),
        ('{"size": [4294967296, 4294967296], "counts": "0"}', "pixels at most 2.32 - 1"),
        ("[]", "a segmentation that is not empty before here"),
        ("[[1, 2, 3]]", "a polygon, x and y of at least two points, before here"),
        ("[[1, 2, 3, 4], [1, 2]]", "a polygon, x and y of at least two points, before here"),
        ("[1, 2]", "byte 156: expected an array, found '1'"),
        ("[[1, 1, 1e30, 1, 5, 5]]", "polygon coordinate 2 is 1e.30"),
    ],
)
def test_bad_segmentations(evaluate, segmentation, message):
    annotation = '{"image_id": 1, "category_id": 1, "segmentation": ' + segmentation + "}"
    with pytest.raises(InvalidArgument, match=message):
        evaluate("{" + IMAGES + ', "annotations": [' + annotation + "]}", iou_type="segm")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidArgument, match=r"none\.json: No such file"):
        CocoEvaluator(tmp_path / "none.json")
    with pytest.raises(InvalidArgument, match="directory"):
        CocoEvaluator(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_of_files_may_be_no_text(tmp_path):
    reference, predictions = tmp_path / "r\udcff.json", tmp_path / "p\udcff.json"
    reference.write_text(REFERENCE)
    with pytest.raises(InvalidArgument, match=r"p\ufffd[.]json: No such file"):
        CocoEvaluator(reference, iou_type="bbox").evaluate(predictions)
    predictions.write_text("[" + ANNOTATION[:-1] + ', "score": 1}]')
    assert CocoEvaluator(reference, iou_type="bbox").evaluate(predictions).stats["AP50"] == pytest.approx(1)
    named = {**json.loads(REFERENCE), "categories": [{"id": 1, "name": "a\udcff"}]}
    assert CocoEvaluator(named, iou_type="bbox").evaluate(predictions).stats["AP50"] == pytest.approx(1)


def test_white_space_escapes_and_a_byte_order_mark(evaluate):
    text = REFERENCE.replace('"a"', r'"\u00e9\ud83d\ude00\ud800\"\\\/\n"').replace(",", " \r\n\t, ")
    assert evaluate(b"\xef\xbb\xbf" + text.encode()).category_names == ('\u00e9\U0001f600\ufffd"\\/\n',)
    assert evaluate(REFERENCE.replace('"a"', '"\u00e9"')).category_names == ("\u00e9",)
    assert evaluate(REFERENCE.encode().replace(b'"a"', b'"\xff"')).category_names == ("\ufffd",)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.floats(-1e308, 1e308), st.integers(-(10**25), 10**25)), st.integers(0, 3))
def test_numbers_are_read_as_python_reads_them(tmp_path_factory, value, form):
    text = (repr(value), f"{value:.3e}", f"{value:.25e}", f"{value:f}")[form]
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "reference.json").write_text(REFERENCE)
    (folder / "predictions.json").write_text("[" + ANNOTATION[:-1] + f', "score": {text}' + "}]")
    result = CocoEvaluator(folder / "reference.json", iou_type="bbox").evaluate(folder / "predictions.json")
    assert result.scores[0, 0, 0, 0, 0] == json.loads(text)


def object_result(reference, predictions, iou_type):
    """What Python's own JSON reader and the dictionaries it makes lead to; None if they are refused."""
    try:
        decoded = [
            json.loads(text.decode(errors="replace"), parse_constant=refuse) for text in (reference, predictions)
        ]
        if not isinstance(decoded[0], dict) or not isinstance(decoded[1], list):
            return None
        return CocoEvaluator(decoded[0], iou_type=iou_type).evaluate(decoded[1])
    except ValueError:
        return None


def refuse(name):
    raise ValueError(name)


@settings(max_examples=400, deadline=None)
@given(
    st.data(),
    st.integers(0, 2**31),
    st.sampled_from(["bbox", "segm"]),
    st.sampled_from(["cut", "flip", "byte", "drop"]),
)
def test_damaged_files_are_refused_or_read_as_python_reads_them(tmp_path_factory, data, seed, iou_type, damage):
    sets = random_dataset(np.random.default_rng(seed), images=2, segm=iou_type == "segm")
    texts = [json.dumps(value).encode() for value in sets]
    which = data.draw(st.integers(0, 1))
    text = bytearray(texts[which])
    at = data.draw(st.integers(0, len(text) - 1))
    if damage == "cut":
        del text[at:]
    elif damage == "flip":
        text[at] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "byte":
        text[at] = data.draw(st.sampled_from(list(b'"{}[],:0123456789-+.eE\\ntfu \0\xff')))
    else:
        del text[at : at + data.draw(st.integers(1, 20))]
    texts[which] = bytes(text)
    folder = tmp_path_factory.mktemp("damaged")
    for name, content in zip(("reference.json", "predictions.json"), texts, strict=True):
        (folder / name).write_bytes(content)
    expected = object_result(*texts, iou_type)
    try:
        result = CocoEvaluator(folder / "reference.json", iou_type=iou_type).evaluate(folder / "predictions.json")
    except InvalidArgument as error:
        assert expected is None, f"refused: {error}"
        return
    assert expected is not None, "accepted what Python refuses"
    for name in ("precision", "recall", "scores"):
        assert np.array_equal(getattr(result, name), getattr(expected, name))
