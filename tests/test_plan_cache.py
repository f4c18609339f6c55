"""The cache of compiled plans: what is refused, what is rebuilt, and two processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from lcx_fast import EngineError, doctor
from lcx_fast.engines.plan_cache import MAGIC, PlanCache, PlanKey, default_folder

KEY = PlanKey("ab" * 32, "tensorrt 11.1.0", "NVIDIA H100 sm90", "13.0", "precision=fp16")
PLAN = bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "deep" / "plans")


def never():
    raise AssertionError("built again")


def test_a_plan_is_built_once(cache):
    assert cache.load(KEY) is None
    assert cache.load_or_build(KEY, lambda: PLAN) == PLAN
    assert cache.load_or_build(KEY, never) == PLAN
    (entry,) = cache.entries()
    assert entry.key == KEY and entry.size > len(PLAN)


def test_only_this_user_can_read_it(cache):
    cache.store(KEY, PLAN)
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    cache.folder.chmod(0o750)
    for use in (lambda: cache.load(KEY), lambda: cache.store(KEY, PLAN), lambda: cache.load_or_build(KEY, never)):
        with pytest.raises(EngineError, match="0700"):
            use()


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(EngineError, match="0700"):
        PlanCache(tmp_path / "link").store(KEY, PLAN)


@pytest.mark.parametrize("name", [f.name for f in fields(PlanKey)])
def test_every_part_of_the_key_counts(cache, name):
    cache.store(KEY, PLAN)
    assert cache.load(replace(KEY, **{name: "other"})) is None


def test_a_foreign_plan_under_this_name_is_rebuilt(cache):
    path = cache.store(KEY, PLAN)
    other = cache.store(replace(KEY, driver="12.4"), b"other")
    path.write_bytes(other.read_bytes())
    assert cache.load(KEY) is None
    assert cache.load_or_build(KEY, lambda: PLAN) == PLAN
    assert cache.load(KEY) == PLAN


def test_a_damaged_plan_is_rebuilt(cache):
    path = cache.store(KEY, PLAN)
    whole = path.read_bytes()
    payload_at = len(whole) - len(PLAN)
    damaged = [b"", whole[:5], MAGIC, MAGIC + b"[]\n", MAGIC + b"{}\n", whole[:-1], whole + b"x"]
    for at in (0, len(MAGIC) + 3, payload_at, len(whole) - 1):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for content in damaged:
        path.write_bytes(content)
        assert cache.load(KEY) is None
    assert cache.entries()[0].key is None
    assert cache.load_or_build(KEY, lambda: PLAN) == PLAN
    assert path.read_bytes() == whole


def test_a_failed_build_leaves_nothing_and_frees_the_lock(cache):
    def fail():
        raise EngineError("no")

    with pytest.raises(EngineError, match="no"):
        cache.load_or_build(KEY, fail)
    assert cache.entries() == ()
    assert cache.load_or_build(KEY, lambda: PLAN) == PLAN


def test_its_size_is_bounded(tmp_path):
    cache = PlanCache(tmp_path / "plans", max_bytes=3 * len(PLAN))
    keys = [replace(KEY, options=f"n={n}") for n in range(4)]
    for n, key in enumerate(keys[:2]):
        os.utime(cache.store(key, PLAN), (n, n))
    assert cache.load(keys[0]) == PLAN  # now the more recently used of the two
    os.utime(cache.folder / keys[0].file_name, (5, 5))
    cache.store(keys[2], PLAN)
    assert [key for key in keys if cache.load(key) is not None] == [keys[0], keys[2]]
    cache.store(keys[3], PLAN * 9)  # larger than the bound: kept, for it is in use
    assert [key for key in keys if cache.load(key) is not None] == [keys[3]]


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "lcx_fast" / "plans"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / ".cache" / "lcx_fast" / "plans"


def test_a_user_without_a_home_has_no_cache_and_is_told(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", homeless)
    with pytest.raises(EngineError, match="set HOME or XDG_CACHE_HOME"):
        PlanCache()
    facts = doctor._plans()
    assert facts["folder"] is None and "no home folder" in facts["reason"] and facts["plans"] == []


BUILDER = """
import sys, time
from pathlib import Path
from lcx_fast.engines.plan_cache import PlanCache, PlanKey

folder, name = Path(sys.argv[1]), sys.argv[2]

def build():
    with (folder.parent / "builds").open("a") as log:
        log.write(name)
    # Long enough for the others to come to the lock; whoever built without it would show in the log.
    time.sleep(0.5)
    return b"plan"

assert PlanCache(folder).load_or_build(PlanKey("a", "b", "c", "d", "e"), build) == b"plan"
"""


def test_several_processes_build_once(tmp_path):
    folder = tmp_path / "plans"
    command = [sys.executable, "-c", BUILDER, str(folder)]
    processes = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(4)]
    for process in processes:
        assert process.wait(timeout=60) == 0, process.stderr.read()
        process.stderr.close()
    assert len((tmp_path / "builds").read_text()) == 1
