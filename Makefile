# The short commands of a developer's day. Every one sets up .venv by itself; none needs anything but Python and make.
#
#   make demo       the main job: three networks on three designs, layer by layer
#   make test       the whole suite, with PyTorch where a CPU wheel of it is at hand (see TORCH below)
#   make test-core  the whole suite on the core install; what needs PyTorch is skipped
#   make test-lowest  the tests on the core install at the lowest versions promised; PYTHON=python3.13 for another Python
#   make test-newest  the same at the newest versions there are
#   make check      format, lint, layering, types
#   make format     put the code into its format
#   make bench      the benchmarks
#   make docs       the documentation, into site/
#   make dist       the wheel and the sdist, into dist/; installed into a fresh environment, the demo run elsewhere
#   make fuzz       hostile input to every reader, for FUZZ_SECONDS
#   make searches   all recorded searches again, number by number (some are part of make test)
#   make families   fronts of families of 500 designs beside brute force, whatever they are over
#   make drawn      tests of bounds and of the exact search on designs drawn anew, ROUNDS times; make test repeats a few
#   make signals    signals to commands at random moments, TRIES of them
#   make mutants    changes the sources one place at a time, MUTANTS of every module, and says which no test notices
#   make long       what the suite has a share of, in full: fuzz, searches, families, drawn, signals; some hours
#   make clean      remove what these commands made
#
# PYTHON=python3.12 chooses the interpreter of a new .venv; JOBS=4 the test processes.

# TORCH=auto takes PyTorch for `make test` where pip finds a wheel without the network (or .venv has it already);
# TORCH=yes downloads it (several GB on Linux), TORCH=no does without.
TORCH ?= auto
JOBS ?= 2
FUZZ_SECONDS ?= 60
TRIES ?= 200
ROUNDS ?= 5
MUTANTS ?= 20

VENV := .venv
BIN := $(VENV)/bin
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
DEMO := alexnet resnet18 resnet50 --on eyeriss_like simple_weight_stationary simple_output_stationary
# one thread per process: two PyTorch threads on a busy machine cost ten times; bytecode is kept even where the
# environment says otherwise, as thousands of processes would each compile what they import
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=
PYTEST = $(TEST_ENVIRONMENT) $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGUMENTS)

ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $$p && break; done)
endif

.PHONY: demo test test-core test-lowest test-newest check format bench docs dist fuzz searches families drawn signals \
	mutants long clean venv core dev torch
.DELETE_ON_ERROR:

demo: core
	$(BIN)/dovetail compare $(DEMO)

test: torch
	$(PYTEST)

test-core: dev
	$(PYTEST)

# Two environments of their own beside .venv, one per Python, without PyTorch.
LOWEST = .venv-lowest-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
NEWEST = .venv-newest-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')

test-lowest:
	@test -x $(LOWEST)/bin/python || "$(PYTHON)" -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints-lowest.txt \
		--editable . hypothesis pytest pytest-xdist
	$(TEST_ENVIRONMENT) $(LOWEST)/bin/python -m pytest -n $(JOBS) $(PYTEST_ARGUMENTS)

test-newest:
	@test -x $(NEWEST)/bin/python || "$(PYTHON)" -m venv $(NEWEST)
	@$(NEWEST)/bin/python -m pip install -qq --disable-pip-version-check --upgrade --upgrade-strategy eager \
		--editable . hypothesis pytest pytest-xdist
	$(TEST_ENVIRONMENT) $(NEWEST)/bin/python -m pytest -n $(JOBS) $(PYTEST_ARGUMENTS)

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

format: dev
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

bench: dev
	@set -e; for file in benchmarks/[!_]*.py; do echo "== $$file"; $(BIN)/python $$file; done

docs: dev
	$(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

dist: dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python tools/check_dist.py dist

fuzz: dev
	$(BIN)/python tests/fuzz.py --repeat tests/data/fuzz
	$(BIN)/python tests/fuzz.py --seconds $(FUZZ_SECONDS)

searches: dev
	DOVETAIL_SEARCHES=all $(PYTEST) tests/test_searches.py

families: dev
	DOVETAIL_FAMILIES=all $(PYTEST) tests/test_family_brute.py

PROVING := $(addprefix tests/test_,$(addsuffix .py,mapper_bounds mapper_ceiling mapper_exact mapper_floor mapper_laws \
	mapper_vectors mapper_windows packed_units family_brute fused sparse_search))
drawn: dev
	@set -e; for round in $$(seq $(ROUNDS)); do \
		DOVETAIL_DRAWS=anew $(PYTEST) -m hypothesis $(PROVING); done

signals: dev
	$(TEST_ENVIRONMENT) $(BIN)/python tests/signals.py --tries $(TRIES)

mutants: dev
	$(TEST_ENVIRONMENT) $(BIN)/python tools/mutate.py --most $(MUTANTS) $(MODULES)

long: fuzz searches families drawn signals

clean:
	rm -rf site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# An environment that works is kept, whoever made it; one that does not run or is of another Python is made anew.
venv:
	@if $(BIN)/python -c '$(SUPPORTED)' >/dev/null 2>&1; then \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade >/dev/null; \
	elif ! "$(PYTHON)" -c '$(SUPPORTED)' >/dev/null 2>&1; then \
		echo "Dovetail needs Python 3.11, 3.12 or 3.13, but $(or $(PYTHON),python3) is" \
			"$$($(or $(PYTHON),python3) --version 2>/dev/null || echo absent)." >&2; \
		echo "Install one of these, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	else \
		echo "setting up $(VENV) with $$("$(PYTHON)" --version)"; \
		"$(PYTHON)" -m venv --clear $(VENV) || { \
			echo "\`$(PYTHON) -m venv\` failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi
	@if [ "$$(cat $(VENV)/.home 2>/dev/null)" != "$(CURDIR)" ]; then \
		rm -f $(VENV)/.core $(VENV)/.dev $(VENV)/.torch; echo "$(CURDIR)" > $(VENV)/.home; \
	fi

core dev: venv
	@$(MAKE) --silent --no-print-directory $(VENV)/.$@

torch: venv
	@if [ "$(TORCH)" = no ]; then \
		echo "TORCH=no: tests that need PyTorch will be skipped"; \
		$(MAKE) --silent --no-print-directory $(VENV)/.dev; \
	elif [ "$(TORCH)" = yes ] || [ -e $(VENV)/.torch ] || $(BIN)/python -c 'import torch' >/dev/null 2>&1 || \
		$(INSTALL) --dry-run --no-deps --no-index torch >/dev/null 2>&1; then \
		$(MAKE) --silent --no-print-directory $(VENV)/.torch; \
	else \
		echo "no wheel of PyTorch at hand: tests that need it will be skipped; \`make test TORCH=yes\` downloads it"; \
		$(MAKE) --silent --no-print-directory $(VENV)/.dev; \
	fi

# The stamps below say what is installed; `venv` removes them when the environment is another one.
$(VENV)/.core: pyproject.toml constraints.txt
	@echo "installing Dovetail into $(VENV)"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@echo "installing Dovetail and its development tools into $(VENV)"
	@$(INSTALL) --editable '.[dev,docs]'
	@touch $(VENV)/.core $@

# The registry's torchvision asks for a torch with CUDA; without its dependencies it goes with the CPU wheel too.
$(VENV)/.torch: pyproject.toml constraints.txt
	@echo "installing Dovetail, its development tools and PyTorch into $(VENV)"
	@$(INSTALL) torch
	@$(INSTALL) --no-deps torchvision torch-pruning
	@$(INSTALL) --editable '.[dev,docs,torch,quant,onnx,timm]' onnxscript
	@touch $(VENV)/.core $(VENV)/.dev $@
