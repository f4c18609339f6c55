"""The layers of DESIGN point one way: read from the sources, so that a shortcut is seen before it is habit."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Lowest first. A module may import from its own layer's package and from lower layers.
PYTHON_LAYERS = [
    {"by_value", "console", "errors", "decision", "_core", "files", "parallel"}
    | {"onnx_file", "onnx_int8", "onnx_parts", "onnx_precision"},
    {"mammogram", "masks", "ops", "overlaps", "polygons", "regions", "values"},
    {"dicom", "images", "model", "engines", "evaluation"},
    {"preprocess", "scoring", "lesions"},
    {"gpu_line", "report"},
    {"pipeline"},
    {"batch", "build_command", "doctor", "evaluate_command"},
    {"cli"},
    {"__main__"},
]
FORBIDDEN = {"torch", "training", "openvino", "openvino_telemetry"}
#: Loaded when first needed, never by an import of a module.
HEAVY = {"pydicom", "imagecodecs", "PIL", "onnxruntime", "onnx", "matplotlib", "scipy", "cupy"}
HEAVY |= {"tensorrt", "tensorrt_rtx"}

CPP_MAY_INCLUDE = {
    "core": {"core"},
    "ops": {"core", "ops"},
    "dicom": {"core", "dicom"},
    "evaluation": {"core", "evaluation"},
    "engine": {"core", "engine"},
    "line": {"core", "ops", "engine", "line"},
}


def layer(name: str) -> int:
    for level, names in enumerate(PYTHON_LAYERS):
        if name in names:
            return level
    raise AssertionError(f"lcx_fast.{name} has no layer; add it to PYTHON_LAYERS")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(body, package, at_top=True):
    """(absolute module, whether it is imported when the module is) of each import that runs."""
    for node in body:
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parts = [*base, *(node.module.split(".") if node.module else [])]
            if node.module:
                yield ".".join(parts), at_top
            else:
                yield from ((".".join([*parts, alias.name]), at_top) for alias in node.names)
        else:
            inner = at_top and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from imports(ast.iter_child_nodes(node), package, inner)


SOURCES = sorted((ROOT / "lcx_fast").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_layers(path):
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    own = parts[1]
    if own == "__init__":
        return  # it only names where things live
    for module, at_top in imports(ast.parse(path.read_text()).body, parts[:-1]):
        top = module.split(".")[0]
        assert top not in FORBIDDEN, f"imports {module}"
        if top in HEAVY:
            assert not at_top, f"imports {module} when imported; do it where it is used"
        # Writing a report as a dictionary is the one upward call, made late from ImageReport.to_dict.
        if top == "lcx_fast" and module.count(".") >= 1:
            other = module.split(".")[1]
            if other in ("__version__", own):
                continue
            if (own, other) == ("report", "pipeline") and not at_top:
                continue
            assert layer(other) <= layer(own), f"lcx_fast.{own} imports lcx_fast.{other}, which is above it"


CPP = sorted(p for p in (ROOT / "csrc").rglob("*") if p.suffix in {".hpp", ".cpp", ".cu", ".cuh"})


@pytest.mark.parametrize("path", CPP, ids=lambda p: str(p.relative_to(ROOT)))
def test_cpp_layers(path):
    parts = path.relative_to(ROOT / "csrc").parts
    text = path.read_text()
    for include in re.findall(r'#include "([^"]+)"', text):
        target = include.split("/")
        if parts[0] in CPP_MAY_INCLUDE:
            assert target[0] in CPP_MAY_INCLUDE[parts[0]], f"includes {include}"
        if parts[0] == "ops" and target[0] == "ops" and path.name != "cuda_stubs.cpp":
            assert target[1] == parts[1], f"includes another operation: {include}"
    system = set(re.findall(r"#include <([^>]+)>", text))
    if parts[0] != "bindings":
        assert not any(name.startswith(("pybind11", "Python.h", "numpy/")) for name in system)
    assert not any(name.startswith(("torch/", "ATen/", "c10/")) for name in system)
    if path.suffix not in {".cu", ".cuh"}:
        assert not any(name.startswith("cuda") for name in system)
    if path.name != "tensorrt_engine.cpp":
        assert not any(name.startswith("NvInfer") for name in system)


LIMIT = 400


@pytest.mark.parametrize(
    "path",
    [*SOURCES, *CPP, *sorted((ROOT / "training").rglob("*.py"))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= LIMIT


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_loads_nothing_heavy():
    loaded = run("import sys, lcx_fast; print(*{m.split('.')[0] for m in sys.modules})").split()
    assert not (set(loaded) & (HEAVY | FORBIDDEN)), "import lcx_fast pulls these in"


def test_every_public_name_can_be_had():
    run("import lcx_fast\nfor name in lcx_fast.__all__: getattr(lcx_fast, name)")


def test_the_core_and_its_stub_name_the_same_things():
    from lcx_fast import _core

    stub = ast.parse((ROOT / "lcx_fast" / "_core.pyi").read_text())
    named = {node.name for node in stub.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    named |= {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)} - {"__all__"}
    assert named == {name for name in dir(_core) if not name.startswith("_")}, "run `make stub`"
    for node in stub.body:
        if isinstance(node, ast.ClassDef):
            members = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            assert members <= set(dir(getattr(_core, node.name))), "run `make stub`"
