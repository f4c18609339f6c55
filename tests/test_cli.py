"""The command as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dicom_files
import numpy as np
import pytest
from models import breast_image, write_brightness_model

from lcx_fast import cli
from lcx_fast.errors import EngineError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_brightness_model(tmp_path_factory.mktemp("model") / "brightness.onnx"))


def write_pgm(path, image):
    height, width = image.shape
    path.write_bytes(f"P5\n{width} {height}\n65535\n".encode() + image.astype(">u2").tobytes())


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    (folder / "sub").mkdir(parents=True)
    write_pgm(folder / "a.pgm", breast_image())
    write_pgm(folder / "sub" / "b.pgm", breast_image([]))
    (folder / "notes.txt").write_text("not an image")
    (folder / "LICENSE").write_text("not an image either, and without a suffix")
    return folder


def test_folder_to_results(films, model, tmp_path, capsys):
    out = tmp_path / "out"
    code = cli.main(["infer", str(films), "--out", str(out), "--model", model, "--pixel-spacing", "0.5"])
    assert code == 0
    assert {p.name for p in out.iterdir()} == {"a.json", "a.png", "b.json", "b.png"}
    document = json.loads((out / "a.json").read_text())
    assert len(document["lesions"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a.pgm: ") and "1 lesion, best" in lines[0]


def test_json_lines(films, model, capsys):
    assert cli.main(["infer", str(films), "--json", "--model", model]) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [d["image"]["name"] for d in documents] == ["a.pgm", "b.pgm"]


def test_dicom_files_need_no_suffix(tmp_path, model, capsys):
    (tmp_path / "IM0001").write_bytes(dicom_files.make_file(breast_image()))
    assert cli.main(["infer", str(tmp_path), "--model", model]) == 0
    assert capsys.readouterr().out.startswith("IM0001: ")


def test_a_warning_is_said_once(films, model, capsys):
    assert cli.main(["infer", str(films), "--model", model]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning, ")]
    assert len(warnings) == 1 and "2 images" in warnings[0] and "spacing" in warnings[0]


def test_one_format_only(films, model, tmp_path):
    out = tmp_path / "out"
    assert cli.main(["infer", str(films / "a.pgm"), "--out", str(out), "--format", "json", "--model", model]) == 0
    assert [p.name for p in out.iterdir()] == ["a.json"]


def test_equal_names_get_their_folders_name(films, model, tmp_path):
    write_pgm(films / "sub" / "a.pgm", breast_image([]))
    out = tmp_path / "out"
    arguments = ["infer", str(films), "--out", str(out), "--format", "json", "--model", model]
    assert cli.main(arguments) == 0
    assert sorted(p.name for p in out.iterdir()) == ["b.json", "films_a.pgm.json", "sub_a.pgm.json"]


def test_a_bad_file_never_stops_the_rest(films, model, tmp_path, capsys):
    (films / "a0.dcm").write_text("this is a text file")
    (films / "a1.pgm").write_bytes((films / "a.pgm").read_bytes()[:-1000])
    out = tmp_path / "out"
    assert cli.main(["infer", str(films), "--out", str(out), "--model", model]) == 2
    captured = capsys.readouterr()
    assert "2 of 4 files failed" in captured.err
    assert "a0.dcm: not read: " in captured.err and "a1.pgm: not read: " in captured.err
    assert {p.stem for p in out.iterdir()} == {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["infer", "/no/such/file.dcm"], 2, "no such file or folder"),
        (["infer", "{empty}"], 2, "no image in this folder"),
        (["infer", "{films}", "--model", "missing"], 2, "nor a bundled model"),
        (["infer", "{films}", "--format", "xml"], 2, "accepted: json, png"),
        (["infer", "{films}", "--model", "{model}", "--device", "cuda"], 3, "or use device cpu or auto"),
        (["infer", "{films}", "--model", "{model}", "--device", "tpu"], 2, "accepted: auto, cpu, cuda"),
        (["infer", "{films}", "--model", "{model}", "--out", "{films}/a.pgm"], 2, "cannot be made a folder"),
    ],
)
def test_errors_are_one_line(arguments, code, says, films, model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    values = {"films": films, "model": model, "empty": tmp_path / "empty"}
    assert cli.main([a.format(**values) for a in arguments]) == code
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lcx-fast: ")]
    assert len(error) == 1 and says in error[0]


def test_memory_that_runs_out_at_a_film_is_no_bad_input(films, model, monkeypatch, capsys):
    def infer(detector, mammogram):
        raise MemoryError

    monkeypatch.setattr("lcx_fast.pipeline.Detector.infer", infer)
    (films / "a0.pgm").write_text("P5 and no more")
    assert cli.main(["infer", str(films), "--model", model]) == 3
    said = capsys.readouterr().err
    assert "a.pgm: not read: not enough memory for this image" in said and "3 of 3 files failed" in said


def test_what_cannot_be_written_is_said_so(films, model, tmp_path, capsys):
    (tmp_path / "out" / "a.json").mkdir(parents=True)  # where a report should go
    assert cli.main(["infer", str(films), "--out", str(tmp_path / "out"), "--model", model]) == 2
    captured = capsys.readouterr()
    assert "a.pgm: not written: " in captured.err and "1 of 2 files failed" in captured.err
    assert captured.out.startswith("b.pgm: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_one_line(films, model):
    command = [sys.executable, "-m", "lcx_fast", "infer", str(films), "--json", "--model", model]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


def lcx_fast_command(*arguments, **named):
    command = [sys.executable, "-m", "lcx_fast", *map(str, arguments)]
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=60, **named)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("code", [0, 2])
def test_a_full_standard_error_leaves_the_exit_code(films, model, code):
    arguments = [films / ("missing.dcm" if code else "a.pgm"), "--model", model]
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "lcx_fast", "infer", *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(command, stderr=full, stdout=subprocess.PIPE, env=environment, text=True, timeout=60)
    assert done.returncode == code
    assert done.stdout.startswith("a.pgm: ") == (code == 0)


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_closed_standard_streams_are_nobodys_results(films, model, tmp_path, closed):
    redirections = " ".join(f"{number}>&-" for number in closed)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "lcx_fast", "infer", films / "a.pgm", "--out", out, "--model", model]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirections}', "sh", *map(str, command)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "a.json").read_text())["lesions"]
    assert done.stdout.startswith("a.pgm: ") or 1 in closed
    if 2 in closed:  # and nothing that belongs there goes to standard output
        assert "warning" not in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_cannot_be_shown_are_escaped_and_stop_nothing(films, model, encoding, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    odd = ["M\udcfcller.pgm", "b\x1b[31m.pgm", "c\nline.pgm", "dä.pgm"]
    content = (films / "a.pgm").read_bytes()
    for name in odd:
        (films / name).write_bytes(content if not name.startswith("b") else content[:-100])
    done = lcx_fast_command("infer", *(films / name for name in odd), "--model", model, stdout=subprocess.PIPE)
    assert done.returncode == 2
    shown = done.stdout.decode(encoding).splitlines()
    umlaut = "dä" if encoding == "utf-8" else "d\\xe4"
    assert [line.split(":")[0] for line in shown] == ["M\\udcfcller.pgm", "c\\nline.pgm", f"{umlaut}.pgm"]
    errors = done.stderr.decode().splitlines()
    assert any(line.startswith("b\\x1b[31m.pgm: not read: ") for line in errors)
    assert b"\x1b" not in done.stderr and errors[-1] == "1 of 4 files failed"


def test_a_result_never_takes_an_images_place(films, model, tmp_path, capsys):
    from PIL import Image

    film = films / "film.png"
    Image.fromarray((breast_image() >> 4).astype(np.uint8)).save(film)
    before = {path: path.read_bytes() for path in films.rglob("*.p*")}
    (tmp_path / "link").symlink_to(films)
    for out in (films, films / "sub" / "..", tmp_path / "link"):
        assert cli.main(["infer", str(film), str(films / "a.pgm"), "--out", str(out), "--model", model]) == 2
        errors = capsys.readouterr().err.splitlines()
        assert errors == [f"lcx-fast: {film}: a result would be written over this image; choose another --out"]
        assert {path: path.read_bytes() for path in films.rglob("*.p*")} == before and not list(films.glob("*.json"))
    arguments = ["infer", str(film), "--out", str(films), "--format", "json", "--model", model]
    assert cli.main(arguments) == 0 and (films / "film.json").exists()


def test_a_second_run_over_results_beside_the_films_finds_the_same(films, model, capsys):
    found = []
    for _ in range(2):
        assert cli.main(["infer", str(films), "--out", str(films), "--model", model]) == 0
        found.append([line.split(",")[:3] for line in capsys.readouterr().out.splitlines()])
    assert len(found[0]) == 2 and found[0] == found[1]
    assert (films / "a.png").exists()


def test_bad_spacing_is_refused_once_before_any_file(films, model, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["infer", str(films), "--model", model, "--out", str(out), "--pixel-spacing", "-1"]) == 2
    told = capsys.readouterr().err
    assert told.count("spacing") == 1 and len(told.splitlines()) == 1
    assert not out.exists()


def test_no_progress_and_no_control_characters_without_a_terminal(films, model, capsys):
    cli.main(["infer", str(films), "--model", model])
    captured = capsys.readouterr()
    assert "\r" not in captured.out + captured.err and "\033" not in captured.out + captured.err


def test_ctrl_c_is_clean(model, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for k in range(400):
        write_pgm(folder / f"{k:03}.pgm", breast_image())
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "lcx_fast",
        "infer",
        str(folder),
        "--out",
        str(out),
        "--model",
        model,
    ]
    # A shell starts background jobs with the interrupt ignored, and their children inherit that.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heard)
    deadline = time.monotonic() + 60
    while not (out.is_dir() and any(out.glob("*.json"))):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not list(out.glob(".*"))
    for path in out.glob("*.json"):
        json.loads(path.read_text())


def test_version_and_doctor(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("lcx-fast ")
    assert cli.main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["self_test"]["passed"]
    assert {e["name"] for e in facts["engines"]} == {"tensorrt", "onnxruntime", "openvino"}
    assert all(e["found"] or e["reason"] for e in facts["engines"])
    assert cli.main(["doctor"]) == 0
    assert "self-test: passed" in capsys.readouterr().out


def test_overlay_shows_the_outline_and_the_caption(model, tmp_path):
    from PIL import Image

    import lcx_fast
    from lcx_fast.report.overlay import OUTLINE_COLOUR, overlay_content

    report = lcx_fast.load_model(model).infer(breast_image(), pixel_spacing_mm=0.5)
    (tmp_path / "o.png").write_bytes(overlay_content(report))
    picture = np.asarray(Image.open(tmp_path / "o.png")).astype(int)
    assert picture.shape[1] == 240 and picture.shape[0] > 320
    yellow = np.abs(picture[:320] - OUTLINE_COLOUR).sum(axis=2) < 60
    near = np.zeros((320, 240), bool)
    for y, x in np.round(report.lesions[0].contours[0]).astype(int):
        near[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = True
    assert yellow[near].sum() > 50
    assert picture[320:].max() > 150  # the caption


def test_an_error_while_progress_is_shown_has_a_line_of_its_own(films, model, monkeypatch, capsys):
    def fails(*_, **__):
        yield from ()
        raise EngineError("the engine failed")

    monkeypatch.setattr("lcx_fast.batch.infer_files", fails)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(["infer", str(films), "--json", "--model", model]) == 3
    assert capsys.readouterr().err == "\r\033[K[0/2] a.pgm\r\033[Klcx-fast: the engine failed\n"
