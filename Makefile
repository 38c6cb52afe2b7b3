# The two commands of the README: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MACHINE := $(PYTHON) tools/machine

.NOTPARALLEL:
.PHONY: demo test test-everything fresh engines same-results unit matrix lint docs reference bench bench-neighbours bench-scale toolchains engine begin clean clean-machine

demo: begin $(VENV)/.installed
	@tools/timed "programs" $(MACHINE) install demo
	@tools/timed "container engine" tools/engine
	@$(MACHINE) exec demo tools/demo

test: begin $(VENV)/.ready
	@tools/timed "programs" $(MACHINE) install test
	@tools/timed "container engine" tools/engine docker podman
	@$(MACHINE) exec test tools/test $(SHARES)

test-everything: SHARES = --everything
test-everything: test

# Both commands on new Debian machines: FRESH="trixie-user" for one of them.
fresh:
	@$(PYTHON) tools/fresh $(FRESH)

# The suites that depend on the engine, on other engines: ENGINES="sid-docker" for some of them.
# It writes docs/engines.md.
engines: $(VENV)/.ready
	@$(MACHINE) install test
	@tools/engine docker podman
	@$(PYTHON) tools/engines $(ENGINES)

# The same tests on Docker and on the engine without a daemon: what their commands and requests did is
# compared. TESTS="tests/integration/test_limits.py" for others than those of the handle.
same-results: engine
	@$(MACHINE) exec test python tools/same_results.py $(TESTS)

unit: $(VENV)/.ready
	@$(BIN)/python tools/unit.py

# The unit tests on every Python of this machine, with the lowest and the newest packages: noxfile.py.
matrix: $(VENV)/.ready
	$(BIN)/nox -s unit

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing $(wildcard examples/*-*/*.py)
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .
	$(BIN)/zizmor --offline --quiet .

# The site, in build/docs. A link to a page or heading that is missing is an error; nothing is asked of the network.
docs: $(VENV)/.ready
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

reference: $(VENV)/.ready
	$(BIN)/python tools/reference.py

bench: engine
	@$(BIN)/python -m benchmarks.proxy
	@$(BIN)/python -m benchmarks.report
	@$(BIN)/python -m benchmarks.refusals
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.account
	@$(BIN)/python -m benchmarks.check
	@$(BIN)/python -m benchmarks.snapshots
	@$(BIN)/python -m benchmarks.shared_state
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/bench.py

# Both engines beside what others offer: docs/performance.md. As root, on a quiet machine.
bench-neighbours: engine
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.neighbours

# As root: it starts daemons of its own.
bench-scale: engine
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.scale

toolchains: engine
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest --write-toolchains tests/integration/test_toolchains.py

engine: $(VENV)/.ready
	@$(MACHINE) install test
	@tools/engine docker podman

begin:
	@rm -f .machine/times

# The demo needs this package; the tests, and who develops it, need more.
$(VENV)/.installed: pyproject.toml tools/venv
	@tools/timed "Python packages" tools/venv $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.ready: pyproject.toml tools/venv
	@tools/timed "Python packages" tools/venv $(PYTHON) $(VENV) dev
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .nox dist build

clean-machine:
	@$(MACHINE) undo
