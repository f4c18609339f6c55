"""Many files: in order, each with its own fate, whatever is read and written meanwhile."""

from __future__ import annotations

import os
import threading

import dicom_files
import pytest
from models import TILE, write_brightness_model

from lcx_fast import load_model
from lcx_fast.batch import find_images, infer_files
from lcx_fast.errors import DeviceError, EngineError, LcxError


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return load_model(write_brightness_model(tmp_path_factory.mktemp("model") / "brightness.onnx"))


@pytest.fixture
def paths(tmp_path):
    found = []
    for i in range(4):
        path = tmp_path / f"film{i}.dcm"
        path.write_bytes(dicom_files.make_file(dicom_files.breast(TILE + i, TILE)))
        found.append(path)
    return found


def test_results_come_in_order_with_their_files(detector, paths, tmp_path):
    paths[1].write_bytes(b"no film")
    out = tmp_path / "out"
    results = list(infer_files(detector, paths, out=out))
    assert [result.path for result in results] == paths
    assert [result.report is None for result in results] == [False, True, False, False]
    assert isinstance(results[1].error, LcxError) and results[1].written == ()
    for i in (0, 2, 3):
        assert results[i].report.mammogram.shape[0] == TILE + i
        assert set(results[i].written) == {out / f"film{i}.json", out / f"film{i}.png"}
    assert sorted(path.name for path in out.iterdir()) == sorted(
        path.name for result in results for path in result.written
    )


def test_what_was_done_before_an_engine_fails_is_told(detector, paths, tmp_path, monkeypatch):
    infer = type(detector).infer

    def failing(self, source, **options):
        if source.shape[0] == TILE + 2:
            raise EngineError("the engine failed")
        return infer(self, source, **options)

    monkeypatch.setattr(type(detector), "infer", failing)
    results = []
    with pytest.raises(EngineError, match="the engine failed"):
        for result in infer_files(detector, paths, out=tmp_path / "out"):
            results.append(result)
    assert [result.path for result in results] == paths[:2]
    assert all(path.exists() for result in results for path in result.written)


def test_writing_overlaps_the_next_inference(detector, paths, tmp_path, monkeypatch):
    writing, inferring = threading.Event(), threading.Event()
    infer = type(detector).infer

    def waits_for_the_writer(self, source, **options):
        if source.shape[0] == TILE + 1:
            assert writing.wait(30)
            inferring.set()
        return infer(self, source, **options)

    def waits_for_the_next_inference(*_):
        writing.set()
        assert inferring.wait(30)
        return ()

    monkeypatch.setattr(type(detector), "infer", waits_for_the_writer)
    monkeypatch.setattr("lcx_fast.batch.write_results", waits_for_the_next_inference)
    assert len(list(infer_files(detector, paths, out=tmp_path / "out"))) == 4


def test_no_files_give_no_results(detector):
    assert list(infer_files(detector, [], out=None)) == []


def test_what_a_folder_holds_is_found_through_links_once_and_what_cannot_be_read_is_told(detector, paths, tmp_path):
    folder, elsewhere = tmp_path / "links", tmp_path / "elsewhere"
    for made in (folder / "sub", folder / ".hidden", elsewhere):
        made.mkdir(parents=True)
    paths[0].rename(folder / "sub" / "film0.dcm")
    paths[1].rename(elsewhere / "film1.dcm")
    paths[2].rename(folder / ".hidden" / "film2.dcm")
    (folder / "study").symlink_to(elsewhere)
    (folder / "film3.dcm").symlink_to(paths[3])
    (folder / "sub" / "circle").symlink_to(folder)
    (folder / "broken.dcm").symlink_to("nowhere")
    (folder / "broken.txt").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.dcm")
    found = find_images([folder])
    names = ["broken.dcm", "film3.dcm", "study/film1.dcm", "sub/film0.dcm"]
    assert [str(path.relative_to(folder)) for path in found] == names
    results = list(infer_files(detector, found, out=None))
    assert [result.error is None for result in results] == [False, True, True, True]
    assert str(results[0].error) == f"no such file: {folder / 'broken.dcm'}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_is_closed_to_us_is_told_and_stops_nothing(detector, paths, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    paths[0].rename(closed / "film0.dcm")
    paths[1].chmod(0)
    closed.chmod(0)
    try:
        for given in ([tmp_path], [closed / "film0.dcm", *paths[1:]]):
            found = find_images(given)
            errors = [result.error for result in infer_files(detector, found, out=None)]
            assert len(errors) == 4
            assert [str(error) for error in errors if error] == [
                f"cannot read {path}: Permission denied" for path in (found[0], paths[1])
            ]
    finally:
        closed.chmod(0o700)


def test_a_film_too_large_for_the_memory_stops_no_other(detector, paths, tmp_path, monkeypatch):
    infer = type(detector).infer

    def short_of_memory(self, source, **options):
        if source.shape[0] == TILE + 1:
            raise MemoryError
        return infer(self, source, **options)

    def written(report, *_):
        if report.mammogram.shape[0] == TILE + 2:
            raise MemoryError
        return ()

    monkeypatch.setattr(type(detector), "infer", short_of_memory)
    monkeypatch.setattr("lcx_fast.batch.write_results", written)
    errors = [result.error for result in infer_files(detector, paths, out=tmp_path / "out")]
    assert [type(error) for error in errors] == [type(None), DeviceError, DeviceError, type(None)]
    assert str(errors[1]) == "not enough memory for this image"
