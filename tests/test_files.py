"""Results on disk: whole, together, and without what killed processes left."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from models import breast_image, write_brightness_model

from lcx_fast import InvalidArgument, load_model
from lcx_fast.batch import infer_files, write_results
from lcx_fast.files import sweep_parts, write_bytes, write_together

ROOT = Path(__file__).parent.parent


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return load_model(write_brightness_model(tmp_path_factory.mktemp("model") / "brightness.onnx"))


def test_a_file_is_like_any_other_and_replaced_as_a_whole(tmp_path, monkeypatch):
    target = tmp_path / "r.json"
    write_bytes(target, b"first")
    (tmp_path / "usual").write_bytes(b"")
    assert target.stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "usual").unlink()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(InvalidArgument, match=r"r\.json: cannot be written \(No space left on device\)"):
        write_bytes(target, b"second")
    assert target.read_bytes() == b"first"
    assert names(tmp_path) == ["r.json"]


@pytest.fixture
def small_files():
    """Files may have 50,000 bytes at most, as if the disk were full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("order", [("a.json", "a.png"), ("a.png", "a.json")])
def test_where_one_cannot_be_written_none_appears_or_changes(tmp_path, small_files, order):
    contents = {"a.json": b"{}", "a.png": bytes(60_000)}
    for before in ([], ["a.json"], ["a.json", "a.png"]):
        for name in before:
            (tmp_path / name).write_bytes(b"old")
        with pytest.raises(InvalidArgument, match=r"a\.png: cannot be written \(File too large\)"):
            write_together({tmp_path / name: contents[name] for name in order})
        assert names(tmp_path) == before
        assert all(path.read_bytes() == b"old" for path in tmp_path.iterdir())


def test_a_full_disk_leaves_no_report_without_its_picture(detector, tmp_path, small_files):
    report = detector.infer(np.random.default_rng(0).integers(0, 4000, (400, 300)).astype(np.uint16))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InvalidArgument, match="cannot be written"):
        write_results(report, out, "film", ("json", "png"))
    assert names(out) == []
    assert write_results(report, out, "film", ("json",)) == (out / "film.json",)


def test_a_renaming_that_is_refused_takes_the_new_ones_back(tmp_path, monkeypatch):
    rename = Path.replace

    def refuse(self, target):
        if target.name == "c":
            raise OSError(1, "Operation not permitted")
        return rename(self, target)

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(InvalidArgument, match="c: cannot be written"):
        write_together({tmp_path / name: b"new" for name in "abc"})
    assert names(tmp_path) == ["a"]


def test_the_report_is_renamed_last(detector, tmp_path, monkeypatch):
    renamed = []
    rename = Path.replace
    monkeypatch.setattr("pathlib.Path.replace", lambda self, to: (renamed.append(to.name), rename(self, to))[1])
    write_results(detector.infer(breast_image()), tmp_path, "film", ("json", "png"))
    assert renamed == ["film.png", "film.json"]


def test_names_may_be_as_long_as_the_system_has_them(tmp_path):
    for name in ("a" * 250 + ".json", "ä" * 125 + ".png", "\U0001f600" * 62 + ".png"):
        write_bytes(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"


def left_behind(folder):
    """The part of a process that was killed while it wrote."""
    code = (
        "import sys, time; from pathlib import Path; from lcx_fast.files import _part\n"
        "with _part(Path(sys.argv[1]), b'half'): print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, folder / "film.png"], cwd=ROOT, stdout=subprocess.PIPE)
    process.stdout.read(1)
    return process


def test_what_a_killed_run_left_is_swept_and_what_a_running_one_writes_is_not(detector, tmp_path):
    process = left_behind(tmp_path)
    (part,) = tmp_path.iterdir()
    assert re.fullmatch(rf"\.film\.png\.{process.pid}\.[0-9a-f]{{8}}\.part", part.name)
    others = [".film.png.part", "film.png.1.0123abcd.part", ".film.png.1.xyz.part", ".hidden"]
    for name in others:
        (tmp_path / name).write_bytes(b"somebody's")
    list(infer_files(detector, [], out=tmp_path))
    assert part.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert part.exists()
    list(infer_files(detector, [], out=tmp_path))
    assert names(tmp_path) == sorted(others)


def test_two_runs_into_one_folder_do_not_sweep_each_others_parts(tmp_path):
    stop = time.monotonic() + 1.0
    failures = []

    def write(name):
        while time.monotonic() < stop:
            try:
                write_together({tmp_path / f"{name}.png": bytes(1000), tmp_path / f"{name}.json": b"{}"})
            except InvalidArgument as error:
                failures.append(error)

    def sweep():
        while time.monotonic() < stop:
            sweep_parts(tmp_path)

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"] + [threading.Thread(target=sweep)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert names(tmp_path) == ["a.json", "a.png", "b.json", "b.png"]


def test_a_folder_that_cannot_be_read_is_swept_by_nobody(tmp_path):
    sweep_parts(tmp_path / "missing")
    (tmp_path / ".x.1.0123abcd.part").mkdir()
    (tmp_path / "somebodys").write_bytes(b"")
    (tmp_path / ".y.1.0123abcd.part").symlink_to("somebodys")
    sweep_parts(tmp_path)
    assert len(names(tmp_path)) == 3
