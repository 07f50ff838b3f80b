"""Tells Snakemake what makes results stale apart from the config: code, versions of packages. Describes jobs for kept work.

docs/operations.md describes the behaviour.
"""

from persona_leakage.infrastructure.code_digest import digest_of_code, files_of_program
from persona_leakage.infrastructure.files import sha256_of_file


def untracked(value):
    """A param that makes nothing stale: Snakemake compares no param whose function takes ``input``.

    For what decides no result, or is in the settings already as a digest. A path that begins with a dash
    would be taken for an option.
    """
    return lambda wildcards, input: f"./{value}" if str(value).startswith("-") else value


PERSONAS_FILE = untracked(source_of_personas(config))
QUESTIONS_FILE = untracked(config["questions"]["file"])
# What an adapter must have been trained with; another value already makes the adapter itself stale.
TRAINED_WITH = untracked(settings(**RECIPE))


def code_of(program, *modules):
    """A program and the local modules it imports, directly or not, as paths: the input ``code`` of its rule.

    modules: paths below workflow_scripts/ of what it imports by name when it runs, as plot_figure.py does its figure.
    Times are ignored (ancient); note_contents compares contents. A missing file is an error here, because Snakemake
    ignores it while the outputs exist. The programs reuse_finished.py and with_gpu.py and the modules in
    code_digest.NOT_COUNTED are left out: they change no number in the outputs.
    """
    for path in (program, *modules):
        if not (SCRIPTS / path).is_file():
            raise WorkflowError(f"no such program or module: {SCRIPTS / path}")
    paths = files_of_program(*(SCRIPTS / path for path in (program, *modules)))
    return [ancient(str(path.relative_to(workflow.basedir))) for path in paths]


def figure_inputs(name, **files):
    """The inputs of a figure's rule: the code of plot_figure.py with that figure's module, and the files that it draws."""
    return {"code": code_of("plot_figure.py", f"persona_leakage/figures/{name}.py"), **files}


def note_contents(rules):
    """Give each of ``rules`` two params: a digest of its code and page parts, and its job as reuse_finished.py needs it.

    The digest ignores times: code may arrive with its old time (rsync -a, tar), or be edited while its job runs.
    """
    for each in rules:
        if code := [*each.input.get("code", []), *each.input.get("page_parts", [])]:
            each.set_params(code=digest_of({str(path): digest_of_file(str(path)) for path in code}), job=partial(describe_job, each))


def describe_job(rule, wildcards, input, output):
    """A job as JSON text for reuse_finished.py: its key, its other inputs by name, its outputs.

    The key is a digest of the code, packages, settings and names of outputs. It leaves out the experiment's name. It
    counts what a job compares an adapter with, so that kept replies do not hide a rejected adapter.
    """
    decides = {
        name: value(wildcards) if callable(value) else value
        for name in ("code", "packages", "settings")
        if (value := rule.params.get(name)) is not None
    }
    if input.get("weights"):
        decides["trained_with"] = settings(**RECIPE)
    names = [str(path).removeprefix(f"results/{EXPERIMENT}/") for path in output]
    inputs = {
        name: [str(path) for path in ([paths] if isinstance(paths, str) else paths)] for name, paths in input.items() if name != "code"
    }
    job = {"key": digest_of([decides, names]), "inputs": inputs, "outputs": [str(path) for path in output]}
    return json.dumps(job, sort_keys=True)


@cache
def digest_of_file(path):
    """Digest of a file of the project: for Python code without comments and docstrings, else hex SHA-256."""
    path = Path(workflow.basedir, path)
    return digest_of_code(path.read_bytes()) if path.suffix == ".py" else sha256_of_file(path)


@cache
def versions_in(environment):
    """{package: pinned version} of an environment file."""
    content = read_yaml(SCRIPTS.parent / f"envs/{environment}.yaml")
    return dict(pin.split("==") for pin in content["dependencies"][-1]["pip"])


def pins(environment, *packages):
    """The versions of some packages in an environment file, as JSON text: the param ``packages`` of the rules they decide."""
    versions = versions_in(environment)
    if missing := [package for package in packages if package not in versions]:
        raise WorkflowError(f"envs/{environment}.yaml: must pin {', '.join(missing)}")
    return settings(**{package: versions[package] for package in packages})


def sampling_pins(*more):
    """The versions that decide sampled replies, and those of ``more`` packages, in the environment of the engine.

    With engine.name auto of both environments: only the job finds out whether vLLM is there.
    """
    environments = {"inference": ["torch", "transformers", *more], "vllm": ["torch", "transformers", "vllm", *more]}
    used = {"transformers": ["inference"], "vllm": ["vllm"]}
    names = used.get(config["engine"]["name"], list(environments))
    return json.dumps([pins(name, *environments[name]) for name in names])
