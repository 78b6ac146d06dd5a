# make demo           a phantom CT with a known bleed through the whole job; says where the results are
# make test           every test but the long ones, the panel's included, on all cores
# make test-long      the long ones: those marked `slow`
# make test-shuffled  the tests of `make test` in a random order, which pytest names
# make test-newest    all tests with the newest release of every package, in .venv-newest
# make mutants        hours: wrong changes of losses, samplers, geometry and maps, which tests must notice
# make lint           ruff, mypy (library, strict), import-linter
# make constraints    the exact versions that the others install, from pyproject.toml; UPGRADE=1 takes the newest
# make docs           the documentation as a site, in site/
# make accuracy       docs/accuracy.md anew, in hours; exams and rows stay in accuracy-output; ACCURACY_ARGS="--share 0.1"
# make gpu            what only a computer with a CUDA device shows, as a table; uses the packages of PYTHON, installs nothing
# The others make .venv when it is absent and install what they need; a second call starts at once.

PYTHON ?= python3
VENV ?= .venv
THREADS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
# Exact versions, so that a release of tomorrow changes nothing here; empty for the newest that pyproject.toml allows.
CONSTRAINTS ?= Testing/constraints/versions.txt
# Processes of the tests: one a core, each with a thread. Some take 2 GB.
PROCESSES ?= auto --maxprocesses 8
PYTEST_ARGS ?=
MUTANTS ?= geometry samplers losses attention_maps
UPGRADE ?=
GPU_ARGS ?=
ACCURACY_ARGS ?=

PY := $(VENV)/bin/python
INSTALL = $(PY) -m pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS),--upgrade --upgrade-strategy eager)
# The setuptools of the environment, so that pip does not fetch another one to build with.
INSTALL_HERE = $(INSTALL) 'setuptools>=77' && $(INSTALL) --no-build-isolation --editable
# A file stays in one process, with its fixtures; files start in the order of their names: the longest are not the last.
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest Testing/Python -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --durations=15
BASE := $(VENV)/.installed-base
TORCH := $(VENV)/.installed-torch
DOCS := $(VENV)/.installed-docs
FULL := $(VENV)/.installed-full
# What Qt and VTK need to draw without a screen.
DRAWING_PACKAGES := libosmesa6 libgl1 libegl1 libgl1-mesa-dri libglib2.0-0 libxkbcommon0 libfontconfig1 libdbus-1-3 fonts-dejavu-core

export OMP_NUM_THREADS ?= $(THREADS)
export QT_QPA_PLATFORM ?= offscreen
export MPLBACKEND ?= Agg
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: ALWAYS accuracy demo test test-long test-all test-shuffled test-newest gpu mutants lint docs format metadata constraints drawing-packages clean help
help:
	@sed -n 's/^# make /make /p' Makefile

demo: $(TORCH)
	$(PY) Testing/demo.py

test: drawing-packages $(FULL)
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-long: drawing-packages $(FULL)
	$(PYTEST) -m slow $(PYTEST_ARGS)

test-all: drawing-packages $(FULL)  # both in one run
	$(PYTEST) $(PYTEST_ARGS)

test-shuffled: drawing-packages $(FULL)
	$(PYTEST) -m "not slow" -p pytest_randomly $(PYTEST_ARGS)

test-newest:
	rm -f .venv-newest/.installed-*
	$(MAKE) --no-print-directory test-all VENV=.venv-newest CONSTRAINTS=

# In clones of the last commit, so that the tree is never changed; MUTANTS=samplers for one of Testing/mutants.
mutants: $(FULL)
	$(INSTALL_HERE) '.[mutants]'
	$(MAKE) $(MUTANTS:%=build/mutants/%.txt)

build/mutants/%.txt: Testing/mutants/%.toml ALWAYS
	rm -rf build/mutants/$* && git clone --quiet . build/mutants/$*
	cd build/mutants/$* && export PATH="$(abspath $(VENV))/bin:$$PATH" PYTHONPATH="$$PWD" OMP_NUM_THREADS=1 && \
	{ python Testing/mutants/forked.py serve ../$*.sock & } && trap "kill $$!; rm -f ../$*.sock" EXIT && \
	cosmic-ray baseline $< && cosmic-ray init $< session.sqlite && cr-filter-operators session.sqlite $< && \
	cosmic-ray exec $< session.sqlite && \
	cr-report --show-diff --surviving-only session.sqlite > ../$*.txt && python Testing/mutants/rate.py session.sqlite

ALWAYS:

lint: $(FULL)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

accuracy: $(FULL)
	$(PY) Testing/accuracy/measure.py --output accuracy-output $(ACCURACY_ARGS)

gpu:
	$(PYTHON) -m Testing.Gpu $(GPU_ARGS)

format: $(FULL)
	$(PY) -m ruff check --fix-only --quiet .
	$(PY) -m ruff format .

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

metadata:  # CMake file lists from the tree, public address from pyproject.toml
	$(PYTHON) Testing/metadata.py --write

constraints: $(PY)
	@$(PY) -m pip install --quiet uv
	$(PY) -m uv pip compile --quiet --universal --python-version 3.10 --all-extras $(if $(UPGRADE),--upgrade) \
	  --constraint Testing/constraints/held.txt --annotation-style line --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make constraints' --output-file Testing/constraints/versions.txt pyproject.toml

drawing-packages:
	@Testing/debian_packages.sh $(DRAWING_PACKAGES)

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, for example: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || Testing/debian_packages.sh python3-venv
	$(PYTHON) -m venv $(VENV)

$(BASE): $(PY) pyproject.toml $(CONSTRAINTS)
	$(INSTALL_HERE) .
	@touch $@

# Without it the demo still runs, with the classical method; nothing is remembered then, so the next call tries again.
$(TORCH): $(BASE)
	@echo "Installing torch into $(VENV) for the network that ships with the program: some GB the first time."
	@$(INSTALL) 'torch>=2.4' && touch $@ || echo "torch could not be installed; going on without it."

$(DOCS): $(BASE)
	$(INSTALL_HERE) '.[docs]'
	@touch $@

$(FULL): $(PY) pyproject.toml $(CONSTRAINTS)
	@echo "Installing torch and the test tools into $(VENV): several GB, some minutes the first time."
	$(INSTALL_HERE) '.[torch,train,test,docs]'
	@touch $(BASE) $(TORCH) $(DOCS) $@

clean:
	rm -rf $(VENV) .venv-newest .pytest_cache .mypy_cache .ruff_cache .import_linter_cache demo-output site
	find . -name __pycache__ -prune -exec rm -rf {} +
