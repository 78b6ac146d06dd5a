# make demo   a phantom CT with a known bleed through the whole job; says where the results are
# make test   every test, the panel's included
# make lint   ruff, mypy (library, strict), import-linter
# make gpu    what only a computer with a CUDA device shows, as a table; uses the packages of PYTHON, installs nothing
# The others make .venv when it is absent and install what they need; a second call starts at once.

PYTHON ?= python3
VENV ?= .venv
THREADS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PYTEST_ARGS ?=
GPU_ARGS ?=

PY := $(VENV)/bin/python
BASE := $(VENV)/.installed-base
TORCH := $(VENV)/.installed-torch
FULL := $(VENV)/.installed-full
# What Qt and VTK need to draw without a screen.
DRAWING_PACKAGES := libosmesa6 libgl1 libegl1 libgl1-mesa-dri libglib2.0-0 libxkbcommon0 libfontconfig1 libdbus-1-3 fonts-dejavu-core

export OMP_NUM_THREADS ?= $(THREADS)
export QT_QPA_PLATFORM ?= offscreen
export MPLBACKEND ?= Agg
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: demo test gpu lint format metadata drawing-packages clean help
help:
	@sed -n '1,5s/^# //p' Makefile

demo: $(TORCH)
	$(PY) Testing/demo.py

test: drawing-packages $(FULL)
	$(PY) -m pytest Testing/Python --durations=15 $(PYTEST_ARGS)

lint: $(FULL)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

gpu:
	$(PYTHON) -m Testing.Gpu $(GPU_ARGS)

format: $(FULL)
	$(PY) -m ruff check --fix-only --quiet .
	$(PY) -m ruff format .

metadata:  # CMake file lists from the tree, public address from pyproject.toml
	$(PYTHON) Testing/metadata.py --write

drawing-packages:
	@Testing/debian_packages.sh $(DRAWING_PACKAGES)

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, for example: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || Testing/debian_packages.sh python3-venv
	$(PYTHON) -m venv $(VENV)

$(BASE): $(PY) pyproject.toml
	$(PY) -m pip install --quiet --editable .
	@touch $@

# Without it the demo still runs, with the classical method; nothing is remembered then, so the next call tries again.
$(TORCH): $(BASE)
	@echo "Installing torch into $(VENV) for the network that ships with the program: some GB the first time."
	@$(PY) -m pip install --quiet 'torch>=2.4' && touch $@ || echo "torch could not be installed; going on without it."

$(FULL): $(PY) pyproject.toml
	@echo "Installing torch and the test tools into $(VENV): several GB, some minutes the first time."
	$(PY) -m pip install --quiet --editable '.[torch,train,test]'
	@touch $(BASE) $(TORCH) $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache demo-output
	find . -name __pycache__ -prune -exec rm -rf {} +
