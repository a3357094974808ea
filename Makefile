# neurobust. `make run`: the demo, from nothing to its report. `make test`: every check. Needs Python 3.11 and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc)
CONFIG ?= config/demo.yaml
SLURM_TEST := $(BIN)/python tests/slurm/cluster.py
# a few tests at a time: else one process is given the first eighth of them at once, with most of the long ones
PYTEST := $(BIN)/python -m pytest -n $(CORES) --maxschedchunk=8
TEST := OMP_NUM_THREADS=1 $(PYTEST)
NUMERIC := tests/attacks tests/networks tests/predictors tests/explain tests/phantom tests/shared
export GIT_PYTHON_REFRESH := quiet
export PYTHONDONTWRITEBYTECODE :=  # compiled once: without it every process compiles the package, and pytest all asserts, anew

WORLDS := effect no-brain no-cue hue

.PHONY: help run calibration quick test test-isa test-slurm lint lint-types lint-rules lint-code format schema reference picture clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: envs/requirements.lock envs/peers.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] >= (3, 11) else "neurobust needs Python 3.11 or newer; give PYTHON=python3.11")'
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target .uv uv
	.uv/bin/uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV)
	.uv/bin/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r envs/requirements.lock
	.uv/bin/uv pip install --quiet --python $(BIN)/python --no-deps -r envs/peers.lock
	.uv/bin/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

run: $(VENV)/.installed  ## install, run the demo, print its main table and its report's path
	$(BIN)/snakemake --profile profiles/local --cores $(CORES) --quiet rules --configfile $(CONFIG) -- all
	$(BIN)/python -m neurobust.report $$($(BIN)/python -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["results"])' $(CONFIG))

calibration: $(VENV)/.installed  ## worlds whose answer is known: is the verdict right? within an hour on two cores
	for world in $(WORLDS); do \
	  $(BIN)/snakemake --profile profiles/local --cores $(CORES) --quiet rules --configfile config/calibration.yaml \
	    $$(ls config/calibration-$$world.yaml 2>/dev/null) -- all; done

quick: $(VENV)/.installed lint  ## lint, and every test that neither starts Snakemake nor trains: about two minutes
	$(TEST) -m "not (snakemake or slow or slurm)"

test: $(VENV)/.installed lint  ## install and run every check but SLURM, the demo included
	$(TEST) -m "not slurm"

test-isa: $(VENV)/.installed  ## the numeric tests as other processors would compute them, with 1 and 2 threads
	for threads in 1 2; do for isa in "default SSE41" "avx2 AVX2" ""; do \
	  set -- $$isa; echo "threads $$threads, instructions $${1:-native}"; \
	  env OMP_NUM_THREADS=$$threads OMP_WAIT_POLICY=PASSIVE $${1:+ATEN_CPU_CAPABILITY=$$1 ONEDNN_MAX_CPU_ISA=$$2} \
	    $(PYTEST) -m "not snakemake" $(NUMERIC); done; done

test-slurm: $(VENV)/.installed  ## bring up a real SLURM on loopback and run a phantom study through it
	if [ "$$(id -u)" = 0 ] && ! $(SLURM_TEST) missing && command -v apt-get >/dev/null; then apt-get -qq update && apt-get install -qq -y --no-install-recommends $$($(SLURM_TEST) packages); fi
	$(BIN)/python -m pytest -n 4 -m slurm tests/slurm tests/workflow

lint: $(VENV)/.installed  ## ruff, mypy, snakefmt and snakemake's own lint, side by side
	$(MAKE) --no-print-directory --jobs --output-sync lint-types lint-rules lint-code

lint-types:
	$(BIN)/mypy

lint-rules:
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

lint-code:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed  ## write the code as the linters want it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

picture: run  ## the README's picture: the top of the demo's report, as it came out on this machine; needs chromium
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$$(mktemp -d)" --window-size=1000,1500 \
	  --blink-settings=primaryHoverType=2,availableHoverTypes=2 \
	  --screenshot="$(CURDIR)/docs/images/report.png" "file://$(CURDIR)/results/demo/report/index.html"

schema: $(VENV)/.installed  ## write the schemas in config/ from the classes that check a configuration
	$(BIN)/python -m neurobust.study.schema > config/.schema.yaml && mv config/.schema.yaml config/schema.yaml
	$(BIN)/python -m neurobust.study.schema claims > config/.schema.yaml && mv config/.schema.yaml config/claims.schema.yaml

reference: $(VENV)/.installed  ## write docs/configuration.md from the same classes
	$(BIN)/python -m neurobust.study.reference > docs/.configuration.md && mv docs/.configuration.md docs/configuration.md

clean:  ## remove what was computed (not what was downloaded)
	rm -rf results logs .snakemake
	for mark in resources/*/neurobust/phantom.json; do if [ -e "$$mark" ]; then rm -rf "$${mark%/neurobust/phantom.json}"; fi; done
