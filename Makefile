# Everything runs from .venv, which these targets make; nothing is installed outside it.
#   make demo     meshes of the people in the example photo and keypoints, in demo_out/
#   make test     ruff, mypy and the tests to run while you work: every command end to end, in some minutes
#   make test-all all tests, as CI runs them
#   make docs     the documentation as a site, in docs/_build/html; a warning is an error
#   make release  the wheel in dist/, installed into an empty environment and run there without a network
#   make bench    time the networks beside their textbook formulation; options in BENCH="--quick --device cuda"
#   make train    train with CONFIG=configs/<name>.yaml
#   make table    run the results table of the literature: MOTIONS=<folder of BVH clips>; TRAIN=1 trains all methods first
#   make weights  retrain the bundle that ships from BVH clips: MOTIONS=<folder>

# The first interpreter that runs, not the first on the path: version managers put shims there that may only fail.
PYTHON ?= $(shell for python in python3.11 python3; do $$python -c "" 2>/dev/null && echo $$python && break; done)
TORCH := torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
# Stamp files: the installation is up to date as long as these are newer than the files that list the requirements.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
REQUIREMENTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format docs release bench train table weights clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(INSTALLED)
	$(BIN)/pose2mesh predict examples/two_people.jpg examples/coco_people.json --out demo_out

# Distributed by file, on up to four cores: fixtures of a file are made once, and each process needs a gigabyte.
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) -m "not thorough and not slow and not assets and not gpu"

test-all: lint
	$(PYTEST)

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED_DEV)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs docs/_build/html

# The wheel is built from the source archive, as a package index would serve it, and run in an empty environment.
EMPTY := build/empty
release: $(INSTALLED_DEV)
	rm -rf dist $(EMPTY)
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python scripts/check_wheel.py dist
	$(PYTHON) -m venv $(EMPTY)
	$(EMPTY)/bin/pip install --quiet $(TORCH)
	$(EMPTY)/bin/pip install --quiet --constraint constraints.txt dist/*.whl
	$(BIN)/python scripts/check_offline.py $(EMPTY) dist/*.whl

# Writes tables and figures to benchmarks/out/; takes some ten minutes on two idle cores.
bench: $(INSTALLED_DEV)
	$(BIN)/python benchmarks/bench.py $(BENCH)

train: $(INSTALLED_DEV)
	@test -n "$(CONFIG)" || { echo "CONFIG is missing: make train CONFIG=configs/<name>.yaml" >&2; exit 1; }
	$(BIN)/pose2mesh train $(CONFIG)

# Writes table.md and table.json to runs/baselines, in minutes, from the bundles there or those that ship. Training
# takes some ten minutes per method on a core; existing bundles are kept, and interrupted runs are resumed.
table: $(INSTALLED_DEV)
	@test -n "$(MOTIONS)" || { echo "MOTIONS (BVH clips) is missing: make table MOTIONS=<folder>" >&2; exit 1; }
	$(BIN)/python scripts/results_table.py $(MOTIONS) $(if $(TRAIN),--train)

# Trains both stages in five runs, each of which can be interrupted and resumed; some eight hours on two cores.
weights: $(INSTALLED_DEV)
	@test -n "$(MOTIONS)" || { echo "MOTIONS (BVH clips) is missing: make weights MOTIONS=<folder>" >&2; exit 1; }
	$(BIN)/pose2mesh train configs/light_posenet.yaml --set data.motions=$(MOTIONS) --out runs/light_posenet
	$(BIN)/pose2mesh train configs/light_posenet_on.yaml --set data.motions=$(MOTIONS) --out runs/light_posenet_on
	$(BIN)/pose2mesh train configs/default_lifter.yaml --set data.motions=$(MOTIONS) --out runs/default_lifter
	$(BIN)/pose2mesh train configs/default_lifter_on.yaml --set data.motions=$(MOTIONS) --out runs/default_lifter_on
	$(BIN)/pose2mesh train configs/default.yaml --set data.motions=$(MOTIONS) --out runs/default
	cp runs/default/bundle.safetensors src/pose2mesh/weights/default.safetensors

clean:
	rm -rf demo_out build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# torch is installed first and alone, so that no other requirement decides which build of it is chosen.
$(INSTALLED): $(REQUIREMENTS) | $(BIN)/pip
	$(BIN)/pip install $(TORCH)
	$(BIN)/pip install --constraint constraints.txt --editable .
	touch $@

$(INSTALLED_DEV): $(REQUIREMENTS) | $(BIN)/pip
	$(BIN)/pip install $(TORCH)
	$(BIN)/pip install --constraint constraints.txt --editable ".[dev]"
	touch $(INSTALLED) $@

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "no Python found: install Python 3.11, or name one with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), but Python 3.11 or newer is needed: make PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
