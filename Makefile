# make repro: set everything up and run the pipeline.   make test: set everything up and run all checks.

PYTHON ?= python3.11
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test docs compare setup lock clean

repro: setup
	dvc repro
	python -m nodules summary

test: setup
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	pytest

# Strict: a warning, a dead link or a missing reference is an error. Needs no network.
docs: setup ## build the documentation into docs/_build
	rm -rf docs/_build docs/reference/generated
	python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto docs docs/_build

# Runs those of reports/experiments.yaml that have not finished; hours, on two cores.
compare: setup
	python -m reports.compare

setup: $(VENV)/installed

# Hashes are checked; bytecode is left to the first import, which halves the time this takes.
$(VENV)/installed: requirements.lock
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--require-hashes --requirement requirements.lock
	touch $@

# Resolve requirements.lock anew from pyproject.toml; needs uv.
lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet --upgrade --output-file requirements.lock

clean:
	rm -rf $(VENV) docs/_build docs/reference/generated .pytest_cache .ruff_cache .mypy_cache .hypothesis
