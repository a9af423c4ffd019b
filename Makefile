# Two commands: `make quickstart` improves a real model, `make test` runs everything that guards the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: env quickstart test check lint docs clean

env: $(VENV)/.made

$(VENV)/.made: pyproject.toml constraints.txt
	@echo "making the environment in $(VENV) ..."
	@started=$$(date +%s); \
	$(PYTHON) -m venv $(VENV) && \
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt "torch==2.13.0" && \
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[lora,tasks,gguf,math,data,code,dev]' && \
	echo "environment: $$(( $$(date +%s) - started )) s"
	@touch $@

quickstart: env
	@$(BIN)/sharpen run examples/quickstart.yaml

lint: env
	$(BIN)/ruff check src tests docs examples benchmarks
	$(BIN)/ruff format --check src tests docs examples benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

test: env lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

check: test

docs: env
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
