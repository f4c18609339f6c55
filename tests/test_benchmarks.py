"""The benchmarks' own arithmetic: ratios, verdicts, missing peers, memory, and the report made of a result file."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import pytest
import report
import run
from harness import FLOOR, Missing, Results, at_most, compare, peer, summarise
from machine import measure_in_child

SLOW, FAST = [10.0, 20.0, 30.0], [1.0, 1.0, 30.0]


def test_ratios_are_medians_over_rounds_not_ratios_of_medians():
    found = summarise("job", "case", {"lcx_fast": FAST, "peer": SLOW})
    assert [t.median for t in found.timings] == [1.0, 20.0]
    assert [t.ratio for t in found.timings] == [1.0, 10.0]  # of 10, 20 and 1
    assert found.best_peer is found.timings[1]


@pytest.mark.parametrize(
    ("bar", "ratio", "met"),
    [
        (at_most(1 / 8), 1 / 8, True),
        (at_most(1 / 9), 1 / 8, False),
        (at_most(1 / 16, "slow"), 1 / 16, True),
        (at_most(1 / 9, "slow", "peer"), 1 / 8, False),
        (at_most(2, FLOOR), 2.0, True),
        (at_most(1, "absent"), None, None),
        (at_most(1 / 8, "peer", "absent"), 1 / 8, True),
    ],
)
def test_a_bar_is_held_against_the_best_of_those_it_names(bar, ratio, met):
    figures = {"lcx_fast": [2.0, 2.0], "peer": [16.0, 16.0], "slow": [32.0, 32.0]}
    verdict = summarise("job", "case", figures, floors=[1.0, 1.0], bars=[bar]).verdicts[0]
    assert (verdict.ratio, verdict.met) == (ratio, met)


def test_candidates_take_turns_and_missing_ones_are_named(monkeypatch):
    order, now = [], [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])

    def takes(milliseconds, name=None):
        def call():
            order.append(name)
            now[0] += 1e-3 * milliseconds

        return call

    candidates = {"lcx_fast": takes(30, "ours"), "peer": takes(60, "theirs"), "absent": Missing("not installed")}
    bars = [at_most(1), at_most(2.1, FLOOR), at_most(1.9, FLOOR)]
    found = compare("job", "case", candidates, floor=takes(15), rounds=4, bars=bars)
    assert [name for name in order[-12:] if name] == ["ours", "theirs"] * 4
    assert found.missing == {"absent": "not installed"}
    assert [verdict.met for verdict in found.verdicts] == [True, True, False]
    assert [timing.median for timing in found.timings] == pytest.approx([30, 60])
    assert found.timings[1].rounds == 4
    assert "absent missing (not installed)" in harness.table([found])


def test_a_missing_module_stands_in_for_all_its_functions():
    module = peer("no_such_peer_module")
    assert isinstance(module, Missing) and "no_such_peer_module" in module.reason
    assert isinstance(module.some.function, Missing)
    assert peer("json") is json


def test_memory_is_that_of_the_child(tmp_path):
    script = tmp_path / "child.py"
    folder = str(Path(harness.__file__).parent)
    script.write_text(
        f"import sys; sys.path.insert(0, {folder!r})\n"
        "import json, machine\n"
        "before = machine.peak_mib(); block = bytearray(int(sys.argv[1]) << 20)\n"
        "print('noise'); print(json.dumps({'grown': machine.peak_mib() - before}))\n"
    )
    ballast = bytearray(300 << 20)  # the parent's own memory must not count
    assert 90 < measure_in_child([str(script), "100"])["grown"] < 140
    assert len(ballast) == 300 << 20
    with pytest.raises(RuntimeError, match=r"child\.py x: .*ValueError"):
        measure_in_child([str(script), "x"])


def write_results(folder: Path, *options: str) -> Results:
    given = harness.arguments(None).parse_args(["--json", str(folder / "ops.json"), *options])
    results = Results("ops", "Operations", given)
    bars = [at_most(1 / 2), at_most(1 / 100), at_most(2, FLOOR)]
    figures = {"lcx_fast": FAST, "peer": SLOW}
    results.run("label", lambda: summarise("label", "specks", figures, bars=bars, note="one thread"), "specks")
    results.run("other", lambda: pytest.fail("not asked for") if given.only else None)
    results.add_table("Memory", ["pipeline", "MiB"], [["lcx_fast", "12"]], "in children")
    return results


def test_results_are_on_disk_from_the_first_one_on_and_say_what_failed(tmp_path, capsys):
    path = tmp_path / "ops.json"
    results = write_results(tmp_path, "--quick", "--only", "label")
    assert not json.loads(path.read_text())["complete"]

    def broken() -> None:
        raise ValueError("no\nsuch thing")

    results.run("label too", broken, "comb")
    assert results.finish() == 1
    found = json.loads(path.read_text())
    assert (
        found["complete"] and found["quick"] and found["failures"] == {"label too, comb": "ValueError: no such thing"}
    )
    assert [c["case"] for c in found["comparisons"]] == ["specks"]
    text = report.section(found)
    assert "Failed: label too, comb (ValueError: no such thing)" in text and "no measurement" in text
    assert "some jobs are missing" in report.section(found | {"complete": False})
    assert write_results(tmp_path).finish() == 0 and "Failed" not in report.section(json.loads(path.read_text()))
    assert "FAILED: label too comb" in capsys.readouterr().out


def test_one_benchmark_that_fails_or_hangs_does_not_stop_the_others(tmp_path, monkeypatch, capfd):
    body = """
import json, sys, time
name, path = sys.argv[1], sys.argv[sys.argv.index("--json") + 1]
open(path, "w").write(json.dumps({"name": name, "complete": name == "good", "quick": "--quick" in sys.argv,
    "machine": {"commit": COMMIT}, "wheel": sys.argv[-3] if "--wheel" in sys.argv else None}))
print("ran", name, flush=True)
if name == "hangs": time.sleep(60)
sys.exit(name == "fails")
"""
    (tmp_path / "bench.py").write_text(body.replace("COMMIT", repr(run.commit())))
    (tmp_path / "report.py").write_text("print('reported')")
    names = ("fails", "hangs", "good", "package")
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "BENCHMARKS", {name: ("bench.py", name) for name in names})
    monkeypatch.setattr(run, "GRACE_S", 1.0)
    command = ["run", "--results", str(tmp_path), "--quick", "--wheel", "x.whl", "--only"]
    monkeypatch.setattr("sys.argv", [*command, ",".join(names), "--limit", "2"])
    assert run.main() == 1
    out, err = capfd.readouterr()
    assert [line for line in out.splitlines() if line.startswith("ran")] == [f"ran {name}" for name in names]
    assert "reported" in out and "fails (exit code 1), hangs (ended after 2 s)" in err
    assert json.loads((tmp_path / "package.json").read_text())["wheel"] == "x.whl"
    monkeypatch.setattr("sys.argv", [*command, "good,fails", "--resume"])
    assert run.main() == 1
    out, _ = capfd.readouterr()
    assert "good: done before" in out and "ran good" not in out and "ran fails" in out
    monkeypatch.setattr("sys.argv", ["run", "--only", "nonsense"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no benchmark nonsense; there are: fails" in capfd.readouterr().err


def test_report_is_written_between_the_markers_from_json(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    write_results(tmp_path / "results").finish()
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    monkeypatch.setattr("sys.argv", ["report", "--results", str(tmp_path / "results"), "--readme", str(readme)])
    assert report.main() == 0
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "Of 3 bars 1 were met." in text
    assert "| label | specks | **1.00** ms |  | peer 20.0 | 10x | ≤ 1/2 of the best peer: 1/10 met;" in text
    assert "| label | specks | ≤ 2x of floor | not measured |" in text
    assert "**Memory** in children" in text and "| lcx_fast | 12 |" in text
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    assert report.main() == 0 and readme.read_text() == text


def test_report_refuses_a_page_without_markers(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="once each"):
        report.replace_between("<!-- /results --> <!-- results -->", "x")
    monkeypatch.setattr("sys.argv", ["report", "--results", str(tmp_path)])
    assert report.main() == 2
