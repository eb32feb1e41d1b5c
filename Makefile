# The first of these that runs makes the environment; `make PYTHON=...` names others. Results do not depend on which.
PYTHON ?= python3.13 python3.12 python3.11 python3
VENV := .venv
# An environment for GPUs stays one until `make clean`, or GPU=0.
GPU ?= $(if $(wildcard $(VENV)/requirements-gpu.lock),1)
LOCK := $(if $(filter 1,$(GPU)),requirements-gpu.lock,requirements.lock)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test check lint docs compare networks setup lock clean help

repro: setup ## run the whole pipeline and show the metrics
	dvc repro
	python -m nodules summary
	python -m reports.reproduced

test: lint docs ## run all checks; slow
	pytest

# Strict: a warning, a dead link or a missing reference is an error. Needs no network.
docs: setup ## build the documentation into docs/_build
	rm -rf docs/_build docs/reference/generated
	python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto docs docs/_build

check: lint ## run what takes a minute or two: before each commit
	pytest --quick

lint: setup ## check style, spelling, types and imports
	ruff check .
	ruff format --check .
	codespell
	mypy
	lint-imports

compare: setup ## run the models of reports/experiments.yaml that have not finished; hours
	python -m reports.compare

networks: setup ## make the networks that ship from the real data beside this folder; an hour or two
	python -m studies.real_nodules train tmp/networks
	python -m studies.real_nodules evaluate tmp/networks
	python -m studies.real_nodules scans tmp/networks
	python -m studies.real_nodules ship tmp/networks

setup: $(VENV)/project ## make the environment in .venv; GPU=1: with NVIDIA's libraries, on Linux

# Hashes are checked. Bytecode is compiled by all cores, and where PYTHONDONTWRITEBYTECODE would leave each
# process to compile Keras anew; what does not compile (a package's templates) is of no use either.
$(VENV)/$(LOCK): $(LOCK)
	@for python in $(PYTHON); do \
		if $$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
			2> /dev/null; then $$python -m venv --clear $(VENV) && exit; fi; \
	done; \
	echo "error: Expected Python 3.11, 3.12 or 3.13, with venv. Received: none among $(PYTHON)" >&2; exit 1
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--require-hashes --requirement $(LOCK)
	$(VENV)/bin/python -m compileall -qq -j 0 -x '/tests?/' --invalidation-mode timestamp $(VENV)/lib || true
	cp $(LOCK) $@

# The command `nodules`, which runs what is in this folder.
$(VENV)/project: pyproject.toml $(VENV)/$(LOCK)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	touch $@

# One version of everything for all three Pythons, for results come from versions.
COMPILE := uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --fork-strategy fewest \
	--upgrade --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet

lock: ## resolve both locks anew from pyproject.toml; needs uv
	@# For who has no GPU: on Linux tensorflow-cpu, which is the same module in half the bytes.
	echo "tensorflow>=2.21,<2.22; sys_platform != 'linux' or platform_machine != 'x86_64'" \
		| $(COMPILE) --group cpu --overrides - --output-file requirements.lock
	$(COMPILE) --extra gpu --constraints requirements.lock --output-file requirements-gpu.lock

clean: ## remove the environment and the tools' caches
	rm -rf $(VENV) docs/_build docs/reference/generated .pytest_cache .ruff_cache .mypy_cache .hypothesis \
		.import_linter_cache

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-10s%s\n", $$1, $$2}' Makefile
