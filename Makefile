# Each target installs first if necessary, so all of them work on a new machine.
#
#   make                                      show the targets
#   make submission                           sample split, classical predictor
#   make submission DATA=MOSEv2/valid RECIPE=recipe.toml
#   make submission DATA=MOSEv2/valid PREDICTOR=sam2 CHECKPOINT=sam2.1_hiera_large.pt
#   make test ARGS="-k palette -x"            arguments for pytest
#   make lowest KEEP="torch==2.13.0 setuptools==84.2.1"   these as they are named

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
RUNS ?=
KEEP ?=

RECIPE ?= examples/sample.toml

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TYPED := submit models tools tests

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: install
install: $(STAMP) ## Make .venv with the submit command in it

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Error: Python 3.10 or newer is needed, found $$($(PYTHON) --version 2>&1); name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Error: $(PYTHON) cannot make a virtual environment; install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@echo "Compiling functions with numba, once after an installation: about 20 s"
	@$(BIN)/python tools/compile_kernels.py
	@touch $@

.PHONY: submission
submission: $(STAMP) ## Make a checked submission zip (DATA=, RECIPE=, PREDICTOR=, CHECKPOINT=)
	$(BIN)/submit build $(RECIPE) $(if $(DATA),--split $(DATA)) $(if $(PREDICTOR),--predictor $(PREDICTOR)) $(if $(CHECKPOINT),-o checkpoint=$(CHECKPOINT)) $(if $(filter sam2,$(PREDICTOR)),$(if $(findstring preset=,$(ARGS)),,-o memory=rcms)) $(ARGS)

.PHONY: preview
preview: $(STAMP) ## Compare runs without ground truth (DATA=, RUNS="a b"; default: the sample)
	$(if $(RUNS),,$(BIN)/submit build $(RECIPE))
	$(BIN)/submit preview $(or $(RUNS),plain flipped --runs runs/sample) --split $(or $(DATA),work/sample) $(ARGS)

.PHONY: test
test: $(STAMP) ## Run the tests, except slow ones
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(ARGS)

.PHONY: test-slow
test-slow: $(STAMP) ## Run only the slow tests
	$(BIN)/python -m pytest -m slow --numprocesses auto --maxprocesses 4 --dist worksteal $(ARGS)

.PHONY: coverage
coverage: $(STAMP) ## Run the tests; fail if their coverage is too low
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered $(ARGS)

.PHONY: lint
lint: $(STAMP) ## Check style and spelling
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m codespell_lib

.PHONY: types
types: $(STAMP) ## Check types
	$(BIN)/python -m mypy $(TYPED)

.PHONY: check
check: lint types docs-check test ## Run all checks and the tests

.PHONY: format
format: $(STAMP) ## Format the code
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

.PHONY: bench
bench: $(STAMP) ## Measure time and memory of the slowest commands
	$(BIN)/python tools/bench.py $(ARGS)

.PHONY: docs
docs: $(VENV)/.docs ## Write what is made from the code in docs/, and build the site
	$(BIN)/python tools/write_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

.PHONY: docs-check
docs-check: $(STAMP) ## Fail if one of these pages is out of date
	$(BIN)/python tools/write_docs.py --check

.PHONY: build
build: $(STAMP) ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build

.PHONY: smoke
smoke: ## Try the wheel alone in an empty environment (PYTHON=)
	bash .github/smoke $(PYTHON)

# docs/cli.md has the help texts as the click of constraints.txt prints them.
HELP_TEXTS := tests/test_docs.py::test_the_page_of_commands_is_up_to_date

.PHONY: lowest
lowest: ## Run the tests with the lowest versions that setup.cfg allows (KEEP=)
	mkdir -p build
	$(PYTHON) tools/lowest.py $(addprefix --keep=,$(KEEP)) > build/lowest.txt
	test -x build/lowest/bin/python || $(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check --constraint build/lowest.txt --editable '.[dev]'
	build/lowest/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal --deselect $(HELP_TEXTS) $(ARGS)

.PHONY: clean
clean: ## Remove the files of other targets, except .venv and runs/
	rm -rf build dist site .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
