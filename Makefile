# `make demo` and `make test` set up everything they need from a bare Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_OUT ?= wisp-demo
MINUTES ?= 10

.PHONY: demo test quick elsewhere fuzz chaos bench lint setup clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("wisp needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name one with PYTHON=…") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

setup: $(VENV)/.installed

demo: setup
	$(BIN)/wisp demo --out $(DEMO_OUT)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The quick suite: every module, under three minutes on two cores. Two processes share the cores,
# so each gets one thread: threads that wait for a core they share cost more than they bring.
quick: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m 'not slow' -n 2

# The quick suite takes nothing from the machine it was written on.
elsewhere: $(VENV)/.dev
	OMP_NUM_THREADS=1 tests/elsewhere.sh $(BIN)/python -m 'not slow' -n 2

# Mutated inputs through every reader; kills, full disks and vanishing input, at random.
fuzz chaos: $(VENV)/.dev
	$(BIN)/python tests/$@.py --minutes $(MINUTES)

# What wisp takes beside what cannot be done without; PHOTOS holds clean/.
bench: setup
	$(BIN)/python benchmarks/speed.py $(if $(PHOTOS),--photos $(PHOTOS))

test: lint quick
	$(BIN)/pytest -m slow

clean:
	rm -rf $(VENV) build *.egg-info src/*.egg-info
