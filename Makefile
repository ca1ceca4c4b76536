# make run [INPUT=... OUTPUT=... ARGS=...]   the main job, on your files or on clips it makes itself
# make test                                  the tests that a change is tried with, in a few minutes
# make test-long                             the others: faults at every moment, hostile sets, disks, control groups
# make test-all                              both, in less time than one after the other
# make check                                 format, lint, types and `make test`
# make bench                                 figures
# make stress [ARGS=...]                     kills, by the hundred; ARGS="kills --kills 20 --seed 7" for less
# make clean                                 removes what these made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n 6 --dist load --maxschedchunk 1
# Files inside the virtual environment that say what is installed in it; newer than pyproject.toml means up to date.
FOR_RUN := $(VENV)/.ready-to-run
FOR_DEVELOPMENT := $(VENV)/.ready-to-develop

# Where this is set, every process that a test starts compiles all modules anew: half of what its start costs.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-long test-all check lint bench stress clean
.DELETE_ON_ERROR:

run: $(FOR_RUN)
ifdef INPUT
	@if [ -z "$$OUTPUT" ]; then echo "make run: INPUT is given but OUTPUT is not; say OUTPUT=FOLDER as well." >&2; exit 2; fi
	$(BIN)/pyprocessor --input "$$INPUT" --output "$$OUTPUT" --batch-mode enabled $(ARGS)
else
	$(BIN)/python docs/examples/make_clips.py demo/input
	$(BIN)/pyprocessor --input demo/input --output demo/output --batch-mode enabled $(ARGS)
endif

test: $(FOR_DEVELOPMENT)
	$(PYTEST) -m "not long" $(ARGS)

test-long: $(FOR_DEVELOPMENT)
	$(PYTEST) -m long $(ARGS)

test-all: $(FOR_DEVELOPMENT)
	$(PYTEST) $(ARGS)

check: lint
	$(MAKE) test

lint: $(FOR_DEVELOPMENT)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(FOR_DEVELOPMENT)
	$(BIN)/python -m tests.benchmarks $(ARGS)

stress: $(FOR_DEVELOPMENT)
	$(BIN)/python -m tests.stress $(ARGS)

clean:
	rm -rf $(VENV) demo build dist pyprocessor.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); install Python 3.11 or newer, or say PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $(PYTHON) is `$(PYTHON) --version 2>&1`, but 3.11 or newer is needed; say PYTHON=python3.12 or so." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "make: this Python cannot make virtual environments; install its venv package (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(FOR_RUN): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable .
	touch $@

$(FOR_DEVELOPMENT): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	touch $@ $(FOR_RUN)
