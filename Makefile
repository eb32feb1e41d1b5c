# make repro: set everything up and run the pipeline.   make test: set everything up and run all checks.

PYTHON ?= python3.11
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test compare setup lock clean

repro: setup
	dvc repro
	python -m nodules summary

test: setup
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	pytest

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
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
