# isthmus: from a fresh clone, `make demo` and `make test`. `make` alone lists everything.
#
#   PYTHON        the Python (3.11 or newer) that .venv is made from             make demo PYTHON=python3.12
#   TORCH_INDEX   where PyTorch comes from, instead of pip's default             TORCH_INDEX=https://download.pytorch.org/whl/cpu make demo
#   READER, SECONDS, SEED   one reader of files, seconds of a core, other changes (make fuzz)
#   WORKERS       processes that share the tests (default: the cores, at most 4) make test WORKERS=2
#   MNIST         folder of the four MNIST files, for the row of make bench that trains on all of them
#   SECONDS       of the long run of the fault matrix (default: an hour)         make faults SECONDS=300

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= python3
TORCH_INDEX ?=
WORKERS ?= auto
SECONDS :=
READER ?=
SEED ?=
MNIST ?=
VENV := .venv
BENCH_VENV := .bench
BENCH_DATA := benchmarks/heart.py benchmarks/linear.py benchmarks/mnist.py benchmarks/two_layers.py
BENCH_PARTS := benchmarks/archive_pictures.py benchmarks/rivals.py
WHEEL_VENV := build/wheel-venv

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
WHEEL_BIN := $(WHEEL_VENV)/Scripts
BENCH_PYTHON := $(BENCH_VENV)/Scripts/python
else
BIN := $(VENV)/bin
WHEEL_BIN := $(WHEEL_VENV)/bin
BENCH_PYTHON := $(BENCH_VENV)/bin/python
endif

# Python that looks in the environment at hand and not in what the caller's shell points to.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# pip tells on one line what it is at, and everything when it fails.
define pip_install
	@printf '%s\n' "$(1)"
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	PYTHONUNBUFFERED=1 $(2) -m pip install --disable-pip-version-check --no-input --progress-bar off $(3) 2>&1 \
	| tee "$$log" | awk '/^(Collecting|Processing .*whl)/ { name = $$2; sub(/.*\//, "", name); sub(/-[0-9].*|[^A-Za-z0-9_.-].*/, "", name); printf " %s", name; fflush(); any = 1 } \
	/^Installing collected/ { printf " ... installing"; fflush(); any = 1 } END { if (any) print "" }' \
	|| { cat "$$log"; exit 1; }
endef

.PHONY: help demo test faults check format fuzz bench bench-quick bench-others lab lab-quick wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---------------------------------------------------------------- the environment: once, and after its files change

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	|| { echo "isthmus needs Python 3.11 or newer, and $(PYTHON) is not; try: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	@echo "Making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.made pyproject.toml constraints.txt
ifneq ($(TORCH_INDEX),)
	$(call pip_install,Installing PyTorch from $(TORCH_INDEX),$(BIN)/python,-c constraints.txt --no-deps --index-url $(TORCH_INDEX) torch)
endif
	$(call pip_install,Installing isthmus and what it needs (PyTorch is the large part: minutes),$(BIN)/python,-c constraints.txt -e .)
	@touch $@

$(VENV)/.test: $(VENV)/.core
	$(call pip_install,Installing what the tests need,$(BIN)/python,-c constraints.txt -e '.[test]')
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(call pip_install,Installing what the checks need,$(BIN)/python,-c constraints.txt -e '.[dev]')
	@touch $@

# The peers of benchmarks, apart from .venv, whose packages they find through a .pth file: PyTorch is not installed twice,
# and nothing of theirs is ever seen by isthmus.
$(BENCH_VENV)/.made: $(VENV)/.core benchmarks/peers.txt
	@rm -rf $(BENCH_VENV)
	@$(BIN)/python -m venv --without-pip $(BENCH_VENV)
	@$(BIN)/python -c 'import sysconfig; print("$(CURDIR)/src\nimport site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	> "$$($(BENCH_PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/isthmus.pth"
	$(call pip_install,Installing the peers,$(BENCH_PYTHON),-c constraints.txt -r benchmarks/peers.txt)
	@touch $@

# ---------------------------------------------------------------- what people do

demo: $(VENV)/.core ## train on bundled digits, beside PCA: a table, and demo-report.html
	@$(BIN)/isthmus demo -o demo-report.html --force

# A worker a core and one thread a worker: more threads would only wait for each other,
# and models as small as those of the tests are fastest on one.
test: $(VENV)/.test ## run every test, and every example of the documentation
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=Agg \
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses=4 --dist=worksteal -q

faults: $(VENV)/.test ## kill, fill, damage and starve runs: the fault matrix as a table; SECONDS=3600 of one long run
	@SECONDS_OF_RUN=$(or $(SECONDS),3600) nice -n 10 $(BIN)/python tests/faults/matrix.py

check: $(VENV)/.dev ## lint, format, types, floors
	@failed=; for check in 'ruff check' 'ruff format --check' basedpyright 'lint-imports --no-logo'; do \
		echo "== $$check"; $(BIN)/$$check || failed="$$failed [$$check]"; done; \
	if [ -n "$$failed" ]; then echo "make check: failed:$$failed" >&2; exit 1; fi

fuzz: $(VENV)/.test ## read changed and hostile files, ten minutes of a core each reader; SECONDS=60 READER=npz SEED=7
	@$(BIN)/python tests/fuzz/fuzz_run.py --seconds $(or $(SECONDS),600) $(if $(READER),--reader $(READER)) $(if $(SEED),--seed $(SEED))

format: $(VENV)/.dev ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(BENCH_VENV)/.made ## speed and memory beside the peers, as ratios, into benchmarks/results; MNIST=FOLDER for one row more
	@cd benchmarks && $(CURDIR)/$(BENCH_PYTHON) -m speed $(if $(MNIST),--mnist $(abspath $(MNIST)))

bench-quick: $(BENCH_VENV)/.made ## the same in minutes: says what got worse than the kept results, and fails then
	@cd benchmarks && $(CURDIR)/$(BENCH_PYTHON) -m speed --quick

bench-others: $(BENCH_VENV)/.made ## the other benchmarks that need no data of your own: quality, archives, memory
	@for script in $(filter-out $(BENCH_DATA) $(BENCH_PARTS),$(sort $(wildcard benchmarks/*.py))); do echo "== $$script"; $(BENCH_PYTHON) "$$script"; done
	@echo "Left out, for they need files that do not come along: $(patsubst %,$(BIN)/python % --data FOLDER;,$(BENCH_DATA))"

lab: $(VENV)/.core ## every sentence as an experiment: five hours on two cores; MNIST=FOLDER AUDIO=FOLDER for those that need them
	@MPLBACKEND=Agg $(BIN)/python lab/harness.py

lab-quick: $(VENV)/.core ## a short form of each experiment, in minutes: shows that they run
	@MPLBACKEND=Agg $(BIN)/python lab/harness.py --quick --fresh

wheel: $(VENV)/.dev ## build dist/*, and run the wheel in an empty environment
	@rm -rf dist $(WHEEL_VENV)
	$(BIN)/python -m build --outdir dist .
	@$(BIN)/python -m venv $(WHEEL_VENV)
	$(call pip_install,Installing the wheel into an empty environment,$(WHEEL_BIN)/python,-c constraints.txt dist/*.whl)
	@cd build && PATH="$(CURDIR)/$(WHEEL_BIN):$$PATH" && isthmus --help >/dev/null && isthmus demo --help >/dev/null
	@echo "The wheel installs and runs: $$(ls dist/*.whl)"

clean: ## remove what was built, the environment too
	rm -rf $(VENV) $(BENCH_VENV) build dist htmlcov .coverage .pytest_cache .ruff_cache .hypothesis .import_linter_cache demo-report.html
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
