# make demo   install the runtime (no torch) into .venv and explain the clip that ships inside
# make test   install everything into .venv; format, lint, types, tests with warnings as errors
# make test-runtime, make test-models   its two halves: the runtime, and training and export
# make check   its first part: format, lint, types, one-way imports, every option in one place
# make test-slow   the tests that take minutes
# make docs   builds the documentation into .site/, offline; warnings are errors
# make tables   the paper's grid on synthetic clips, about an hour on two cores; a killed run goes on

SHELL := bash
.SHELLFLAGS := -o pipefail -c
# without bytecode every start of the command compiles everything again
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
RUNTIME_TESTS := tests/e2e tests/stan_edge/live tests/stan_edge/sources tests/stan_edge/sinks tests/stan_edge/evidence \
	tests/stan_edge/journal tests/docs
# bytecode is compiled when a module is first imported: most never are
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check

.PHONY: demo test test-runtime test-models test-slow check docs tables clean

demo: $(VENV)/.runtime
	mkdir -p .demo
	$(BIN)/stan-edge run --demo --save-video .demo/annotated.mp4 --save-timeline .demo/timeline.png
	@du -sh $(VENV) | awk '{print "installed: " $$1}'
	@echo "look at .demo/annotated.mp4 and .demo/timeline.png"

# Two halves side by side: cameras and commands in real time, and beside them, with the processors' leftovers, what only
# computes. Each line says which half it is of; unbuffered, so that progress also shows when the output is piped.
test: check
	$(MAKE) --no-print-directory -j2 test-runtime test-models

test-runtime: $(VENV)/.dev
	PYTHONUNBUFFERED=1 $(BIN)/python -m pytest $(RUNTIME_TESTS) 2>&1 | sed -u 's/^/runtime | /'

test-models: $(VENV)/.dev
	PYTHONUNBUFFERED=1 nice -n 10 $(BIN)/python -m pytest tests $(RUNTIME_TESTS:%=--ignore=%) 2>&1 | sed -u 's/^/models  | /'

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

tables: $(VENV)/.dev
	$(BIN)/stan-edge tables -o runs/tables --init train/checkpoints/stan-t.safetensors
	cp runs/tables/tables.md bench/results/tables.md
	cp runs/tables/tables.csv bench/results/tables.csv

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/stan_edge/config/test_run_config.py

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file docs/mkdocs.yml
	@echo "open .site/index.html"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# the wheel, not the checkout: what a user gets
$(VENV)/.runtime: pyproject.toml $(shell git ls-files stan_edge train export bench/stan_bench) | $(VENV)/bin/python
	test -e $(VENV)/.dev || $(PIP) '.[openvino,pose]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.runtime

clean:
	rm -rf $(VENV) .demo .site .pytest_cache .mypy_cache .ruff_cache .hypothesis
