# Two commands do everything on a machine that has Python 3.11 or newer: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
PYTHON := python
SHELL := bash
endif

.PHONY: demo test test-slow test-minimum test-newest coverage docs linkcheck lint install dist sbom

demo: .venv/.installed-core
	$(BIN)/python examples/band_gaps.py demo

test: .venv/.installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist worksteal

# The campaigns: fuzzing, kills, endurance.
test-slow: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 2 --dist worksteal

# The fast part of the tests in an environment of its own, with the lowest versions that
# pyproject.toml declares (constraints-minimum.txt), or with the newest there are.
test-minimum test-newest: .venv/.installed-core
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.versions $(subst test-,,$@)

# The tests again, with the share of the lines they run; less than the floor is an error.
coverage: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist worksteal --cov=trisk --cov-fail-under=80

# The documentation site, in docs/_build/html. It needs no network; a warning is an error.
docs: .venv/.installed-docs
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# Do links to other sites answer? This one needs a network.
linkcheck: .venv/.installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going -b linkcheck -D plot_gallery=0 docs docs/_build/linkcheck

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

install: .venv/.installed-dev

# The sdist, and the wheel made from it, checked and used where nothing else of trisk is.
dist: .venv/.installed-core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dist]'
	$(BIN)/python -m tools.distributions

# Software bill of materials (CycloneDX) of the environment that trisk is tested in.
sbom: .venv/.installed-core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dist]'
	mkdir -p dist
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --of JSON -o dist/trisk.cdx.json $(BIN)/python

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "trisk needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.installed-core: pyproject.toml constraints.txt | .venv/.created
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.installed-dev: .venv/.installed-core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/.installed-docs: .venv/.installed-core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@
