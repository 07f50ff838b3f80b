"""What decides results beside the config: the code of the programs, as rule inputs and params, and the versions of packages."""

import ast

from persona_leakage.files import sha256_of_file


def code_of(program):
    """A program and the local modules it imports, directly or not, as paths: rule inputs, so that an edit makes their users stale.

    Snakemake compares small inputs by content, so touching a file or checking it out anew is no edit.
    A missing program is an error here, because Snakemake is silent about it while the outputs exist.
    Not among them is with_gpu.py, which rules call in front of their program: it chooses the device a job
    runs on and no number in its outputs, so an edit of it must not train or sample anything again.
    """
    todo, seen = [SCRIPTS / program], set()
    while todo:
        path = todo.pop()
        if not path.is_file():
            raise WorkflowError(f"no such program: {path}")
        if path not in seen:
            seen.add(path)
            todo += local_imports(path)
    return sorted(str(path.relative_to(workflow.basedir)) for path in seen)


def note_contents(rules):
    """Give each of ``rules`` that has code or a page's parts among its inputs a param with the digest of their content.

    Of an input Snakemake compares the content only if the file is newer than the outputs. Code that came with its old
    time (rsync -a, tar), or that was edited while its job ran, is told by this param.
    """
    for each in rules:
        if code := [*each.input.get("code", []), *each.input.get("page_parts", [])]:
            each.set_params(
                code=digest_of({path: digest_of_file(path) for path in code})
            )


@cache
def digest_of_file(path):
    """Hex SHA-256 of a file of the project."""
    return sha256_of_file(Path(workflow.basedir, path))


@cache
def local_imports(path):
    """The files under workflow_scripts/ that a Python file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [
                node.module,
                *(f"{node.module}.{alias.name}" for alias in node.names),
            ]
    parts = [name.split(".") for name in names]
    bases = {
        SCRIPTS.joinpath(*some[: depth + 1])
        for some in parts
        for depth in range(len(some))
    }
    files = [
        file
        for base in bases
        for file in (base.with_suffix(".py"), base / "__init__.py")
    ]
    return [file for file in files if file.is_file()]


def pins(environment, *packages):
    """The versions of some packages in an environment file, as JSON text: a param of the rules whose results they decide.

    So another version makes those results stale however the packages came to be installed; other packages make nothing stale.
    """
    content = read_yaml(SCRIPTS.parent / f"envs/{environment}.yaml")
    versions = dict(pin.split("==") for pin in content["dependencies"][-1]["pip"])
    if missing := [package for package in packages if package not in versions]:
        raise WorkflowError(f"envs/{environment}.yaml: must pin {', '.join(missing)}")
    return settings(**{package: versions[package] for package in packages})
