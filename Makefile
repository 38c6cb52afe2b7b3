# The two commands of the README: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test unit lint bench toolchains engine clean

demo: $(VENV)/.ready engine
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/demo

test: $(VENV)/.ready engine lint
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/test

unit: $(VENV)/.ready
	$(BIN)/pytest -n 2 tests/unit tests/plugin

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing

bench: $(VENV)/.ready engine
	@$(BIN)/python -m benchmarks.proxy
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/bench.py

toolchains: $(VENV)/.ready engine
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest --write-toolchains tests/integration/test_toolchains.py

engine: $(VENV)/.ready
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/engine

$(VENV)/.ready: pyproject.toml tools/venv
	@tools/venv $(PYTHON) $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) dist build
