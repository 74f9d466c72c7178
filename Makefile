# Two commands do everything on a machine that has Python 3.11 or newer: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-minimum test-newest lint install dist sbom

demo: .venv/.installed-core
	$(BIN)/python examples/band_gaps.py --out demo

test: .venv/.installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist worksteal

# The campaigns: fuzzing, kills, endurance.
test-slow: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 2 --dist worksteal

# The fast part of the tests in an environment of its own, with the lowest versions that
# pyproject.toml declares (constraints-minimum.txt), or with the newest there are.
test-minimum test-newest: .venv/.installed-core
	$(BIN)/python -m tools.versions $(subst test-,,$@)

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

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "trisk needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

.venv/.installed-core: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.installed-dev: .venv/.installed-core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
