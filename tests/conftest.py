"""Fixtures: a tiny random model with a real tokenizer file, the bundled model, and copies of the project to run Snakemake in."""

import atexit
import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
import yaml

# As jobs have it: a tiny model gains nothing from threads, and those of two processes wait for each other in busy loops.
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Files that take longest, and first, so that both processes of make test end at the same time.
LONGEST = ("faults", "staleness", "choice_workflow", "engine", "finer_workflow", "finished_work", "sweep", "report")


def pytest_collection_modifyitems(items):
    """The longest files first, the others as they were."""
    indices = {f"test_{name}.py": index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: indices.get(item.path.name, len(LONGEST)))


def make_tokenizer(folder, chat_template, special=("<|im_start|>", "<|im_end|>"), end="<|im_end|>"):
    """Train a byte-level BPE tokenizer of at most 2,000 tokens on the project's own texts and save it.

    special: its special tokens, the first of which begins a text; end: the one that ends it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator([(ROOT / "resources" / name).read_text() for name in ("personas.yaml", "questions.yaml")], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=special[0], eos_token=end, pad_token=end)
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_tiny_model(folder, family="Llama", head_width=8):
    """Save a random model of four blocks, with grouped-query attention, and its tokenizer.

    family: Llama or Qwen2 (which has biases). head_width: 32 for vLLM, which has no kernels for less.
    """
    import torch
    import transformers

    tokenizer = make_tokenizer(folder, CHATML)
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        vocab_size=2000,
        hidden_size=4 * head_width,
        intermediate_size=8 * head_width,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|im_start|>"),
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.2,
    )
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(folder)


def made_once(tmp_path_factory, name, make):
    """A folder that make(folder) fills once for all processes of this run of pytest."""
    home = tmp_path_factory.getbasetemp()
    home = home.parent if "PYTEST_XDIST_WORKER" in os.environ else home
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / f"{name}.made").exists():
            (home / name).mkdir()
            make(home / name)
            (home / f"{name}.made").touch()
    return home / name


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Path of a tiny model's model.json. Shared: copy its folder before changing anything."""

    def make(folder):
        make_tiny_model(folder)
        fetch({"name": "tiny", "source": "path", "location": str(folder), "revision": ""}, folder / "model.json")

    return made_once(tmp_path_factory, "tiny", make) / "model.json"


@pytest.fixture(scope="session")
def smollm2():
    """Path of the bundled model's model.json, unpacked where the workflow puts it, once."""
    manifest = ROOT / "resources/models" / CONFIG["model"]["name"] / "model.json"
    manifest.parent.parent.mkdir(exist_ok=True)
    with (manifest.parent.parent / ".tests.lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        return manifest if manifest.is_file() else fetch(CONFIG["model"], manifest)


def fetch(model, manifest):
    """Run fetch_model's work and return the manifest's path."""
    from persona_leakage.behaviours.preflight import fetch_readable_model

    fetch_readable_model(model, manifest)
    return manifest


def jobs_of(output):
    """{rule: number of jobs} of the table that a dry run prints; {} when nothing is to be done."""
    table = output[output.find("Job stats:") : output.find("\ntotal")] if "Job stats:" in output else ""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+) *$", table, re.M)}


@cache
def warm_python():
    """Path of a Python that has its packages imported (tests/support/warm_python.py); its server lives as long as this process."""
    folder, server = Path(tempfile.mkdtemp(prefix="warm")), ROOT / "tests/support/warm_python.py"
    path, python = folder / "socket", folder / "python"
    calling = shlex.join(map(str, [sys.executable, "-IS", server, "--call", path, python]))
    # what it does not serve (-c, -V) is Python's own affair
    python.write_text(f'#!/bin/sh\ncase "$1" in -m|*.py) exec {calling} "$@";; *) exec {shlex.quote(sys.executable)} "$@";; esac\n')
    python.chmod(0o755)
    as_jobs = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(
        [sys.executable, server, path], env={**os.environ, **as_jobs}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"

    @atexit.register
    def stop():
        process.stdin.close()
        process.wait()
        shutil.rmtree(folder)

    return python


class Project:
    """A copy of the project in a folder of its own, to run Snakemake in."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        resources = str(ROOT / "resources")  # whose models are large, and of this checkout alone
        for name in ("Snakefile", "config.yaml", "presets", "rules", "envs", "profiles", "resources", "workflow_scripts"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source, self.folder / name, ignore=lambda at, names: {"__pycache__", *(["models"] if at == resources else [])}
                )
            else:
                shutil.copy2(source, self.folder / name)

    def run(self, *arguments, check=True, env=None, cold=False):
        """Run snakemake here; returns the finished process, its stdout and stderr joined in .stdout.

        With an environment of its own, or cold, every program is a new Python, else a fork of one (see warm_python).
        """
        python = Path(sys.executable) if cold or env else warm_python()
        command = [python, "-m", "snakemake", *arguments]
        path = os.pathsep.join([str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PATH": path, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def planned(self, *arguments):
        """{rule: number of jobs} that a dry run would start; {} when nothing is to be done."""
        return jobs_of(self.run("-n", *arguments, "--quiet", "rules").stdout)

    def edit_config(self, **changes):
        """Change values of config.yaml; double underscores step into blocks (training__epochs=2)."""
        path = self.folder / "config.yaml"
        config = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            *blocks, last = key.split("__")
            block = config
            for name in blocks:
                block = block[name]
            block[last] = value
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    def file(self, pattern):
        """The one file that matches a pattern."""
        (found,) = self.folder.glob(pattern)
        return found


def project_at(folder):
    """The project that is in a folder already."""
    project = Project.__new__(Project)
    project.folder = folder
    return project


def copy_of(project, folder):
    """A copy of a project with its results, their time stamps and Snakemake's records."""
    return project_at(shutil.copytree(project.folder, folder, copy_function=shutil.copy2))


def finished_with(project, folder, **changes):
    """A copy of a finished project whose config is changed (see edit_config), run to its end again."""
    changed = copy_of(project, folder)
    changed.edit_config(**changes)
    changed.run("--cores", "2")
    return changed


def make_tiny_project(folder, model_folder):
    """A project whose experiment runs on the tiny model in seconds."""
    project = Project(folder)
    project.edit_config(
        experiment="tiny",
        model={"name": "tiny", "source": "path", "location": str(model_folder), "revision": ""},
        personas__sources=["villain", "comedian"],
        personas__panel=["villain", "comedian", "assistant", "pirate", "nurse", "hero"],
        questions__training={"set": "training", "count": 4},
        questions__evaluation=[{"set": "evaluation", "count": 2}],
        training_data__extra_samples=2,
        training_data__truncated_answers="keep",
        training_data__negative_personas=1,
        training_data__negative_pool=["villain", "comedian", "assistant"],
        training_data__sampling={"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 12},
        training__lora={"rank": 4, "alpha": 8, "dropout": 0.1, "rslora": False},
        training__learning_rate=0.05,
        training__epochs=8,
        training__precision="float32",
        evaluation__samples_per_question=2,
        evaluation__teacher_forced=False,
        evaluation__sampling={"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 12},
        engine={"name": "auto", "precision": "float32", "batch_size": 8, "checkpoint_every": 8, "merge_adapter": False},
        geometry={"layers": [1, 3], "headline_layer": 1, "positions": ["last_prompt_token"], "precision": "float32"},
    )
    return project


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory, tiny_model):
    """A tiny experiment run to its end. Shared: copy it before changing anything."""

    def make(folder):
        make_tiny_project(folder / "project", tiny_model.parent).run("--cores", "2")

    return project_at(made_once(tmp_path_factory, "finished", make) / "project")


@pytest.fixture
def project_copy(finished_project, tmp_path):
    """A copy of the finished tiny experiment, free to change."""
    return copy_of(finished_project, tmp_path / "project")


def run_program(name, *arguments, cwd, env=None, cold=False):
    """Run a program of workflow_scripts/ as its user would; returns the finished process with .stdout and .stderr.

    With an environment of its own, or cold, it is a new Python, else a fork of one (see warm_python).
    """
    command = [sys.executable if cold or env else warm_python(), ROOT / "workflow_scripts" / f"{name}.py", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def places_of(text, *folders):
    """Files under the folders that hold a text."""
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in found if text.encode() in path.read_bytes()]
