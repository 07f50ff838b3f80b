"""What decides results beside the config: the code of the programs, as rule inputs and params, and the versions of packages."""

from persona_leakage.infrastructure.code_digest import digest_of_code, files_of_program
from persona_leakage.infrastructure.files import sha256_of_file


def code_of(program, *modules):
    """A program and the local modules it imports, directly or not, as paths: rule inputs, whose digest is the param ``code``.

    modules: paths below workflow_scripts/ of what it imports by name when it runs, as plot_figure.py does its figure.
    Their times count for nothing (ancient): note_contents tells an edit by content. A missing file is an error here,
    because Snakemake is silent about it while the outputs exist. Not among them are reuse_finished.py and with_gpu.py,
    which rules call in front of their program, and the modules of code_digest.NOT_COUNTED: they choose whether and where
    a job runs and what it says, and no number in its outputs, so an edit of them must not train or sample anything again.
    """
    for path in (program, *modules):
        if not (SCRIPTS / path).is_file():
            raise WorkflowError(f"no such program or module: {SCRIPTS / path}")
    paths = files_of_program(
        SCRIPTS / program, *(SCRIPTS / module for module in modules)
    )
    return [ancient(str(path.relative_to(workflow.basedir))) for path in paths]


def note_contents(rules):
    """Give each of ``rules`` a param with the digest of its code and page parts, and one that describes its job to reuse_finished.py.

    The digest counts whatever the files' times: code comes with its old time (rsync -a, tar), or is edited while its job runs.
    """
    for each in rules:
        if code := [*each.input.get("code", []), *each.input.get("page_parts", [])]:
            each.set_params(
                code=digest_of({str(path): digest_of_file(str(path)) for path in code}),
                job=partial(describe_job, each),
            )


def describe_job(rule, wildcards, input, output):
    """A job as JSON text for reuse_finished.py: a digest of the code, packages, settings and names of outputs that decide its
    results, and the paths of its other inputs and of its outputs. Nothing in it says which experiment it is. What a job
    compares an adapter with counts too: kept replies of another adapter must not stand in for its refusal.
    """
    decides = {
        name: value(wildcards) if callable(value) else value
        for name in ("code", "packages", "settings")
        if (value := rule.params.get(name)) is not None
    }
    if input.get("weights"):
        decides["trained_with"] = settings(**without(config["training"], "seeds"))
    names = [str(path).removeprefix(f"results/{EXPERIMENT}/") for path in output]
    inputs = {
        name: [str(path) for path in ([paths] if isinstance(paths, str) else paths)]
        for name, paths in input.items()
        if name != "code"
    }
    job = {
        "key": digest_of([decides, names]),
        "inputs": inputs,
        "outputs": [str(path) for path in output],
    }
    return json.dumps(job, sort_keys=True)


@cache
def digest_of_file(path):
    """Digest of a file of the project: of Python code what counts of it, else hex SHA-256."""
    path = Path(workflow.basedir, path)
    return (
        digest_of_code(path.read_bytes())
        if path.suffix == ".py"
        else sha256_of_file(path)
    )


def pins(environment, *packages):
    """The versions of some packages in an environment file, as JSON text: a param of the rules whose results they decide.

    So another version makes those results stale however the packages came to be installed; other packages make nothing stale.
    """
    content = read_yaml(SCRIPTS.parent / f"envs/{environment}.yaml")
    versions = dict(pin.split("==") for pin in content["dependencies"][-1]["pip"])
    if missing := [package for package in packages if package not in versions]:
        raise WorkflowError(f"envs/{environment}.yaml: must pin {', '.join(missing)}")
    return settings(**{package: versions[package] for package in packages})


def sampling_pins(*more):
    """The versions that decide sampled replies, and those of ``more`` packages, as pins(): of the environment of the engine.

    With engine.name auto of both, since a job finds out only when it runs whether vLLM is there.
    """
    environments = {
        "inference": ["torch", "transformers", *more],
        "vllm": ["torch", "transformers", "vllm", *more],
    }
    used = {"transformers": ["inference"], "vllm": ["vllm"]}
    names = used.get(config["engine"]["name"], list(environments))
    return json.dumps([pins(name, *environments[name]) for name in names])
