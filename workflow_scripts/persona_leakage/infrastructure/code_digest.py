"""What of the project's code can change a result: the files that a program runs, and what of each file counts."""

import ast
import atexit
import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from itertools import accumulate
from pathlib import Path

# Modules and folders of the library that change no number: they report to users, share devices, and read and check the command
# line and the config, whose values pass through them as they are.
NOT_COUNTED = (
    *(f"infrastructure/{name}.py" for name in ("cli", "code_digest", "gpu_lease", "package_names", "progress")),
    *(f"inference/{name}.py" for name in ("engine_server", "shared_engine", "shared_sampling")),
    *("config/__init__.py", "config/program_options.py", "config/messages.py", "config/old_keys.py", "config/blocks"),
)


@cache
def is_counted(path, library):
    """Whether a file can change a result: False for those of NOT_COUNTED in the folder ``library``."""
    return not any(path.is_relative_to(library / name) for name in NOT_COUNTED)


def files_of_program(program, *modules):
    """Paths of a program and of the modules in its folder that it imports, directly or not, sorted; without those of NOT_COUNTED.

    modules: paths of what the program imports by a name that it gets when it runs; they count with what they import.
    """
    return imported_files([Path(program), *map(Path, modules)], Path(program).parent)


def imported_files(paths, home):
    """``paths`` and what they import of the folder ``home``, directly or not, sorted; without modules of NOT_COUNTED that are imported."""
    todo, seen = list(paths), set()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += [file for file in local_imports(path, home) if is_counted(file, home / "persona_leakage")]
    return sorted(seen)


@cache
def local_imports(path, home):
    """The set of files below the folder ``home`` that a Python file imports."""
    parts = [name.split(".") for name in remembered("imports", path.read_bytes(), imported_names)]
    prefixes = {".".join(some[: depth + 1]) for some in parts for depth in range(len(some))}
    files = local_modules(home)
    return {files[name] for name in prefixes if name in files}


def imported_names(source):
    """The full names that a Python file's bytes import; relative imports are not followed (ruff refuses them)."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return sorted(set(names))


@cache
def local_modules(home):
    """{module's full name: path} of the Python files below the folder ``home``; a package is its __init__.py."""
    found = {}
    for path in sorted(home.rglob("*.py"), reverse=True):  # a package after the module of the same name
        parts = path.relative_to(home).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def digest_of_code(source):
    """Hex SHA-256 of what counts of a Python file's bytes: not its comment lines, docstrings and empty lines, nor what it prints and
    the texts of the errors it raises. So an edit of those invalidates no result. A file that is no Python counts whole."""
    return remembered("digest", source, lambda source: hashlib.sha256(counted_source(source)).hexdigest())


def counted_source(source):
    """The part of a Python file's bytes that digest_of_code hashes."""
    try:
        nodes = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError):
        return source
    lines = source.splitlines(keepends=True)
    starts = [0, *accumulate(map(len, lines))]
    spans, inside_texts = [], set()

    def start_of(node):
        return starts[node.lineno - 1] + node.col_offset

    def end_of(node):
        return starts[node.end_lineno - 1] + node.end_col_offset

    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node, clean=False):
            spans.append((start_of(node.body[0]), end_of(node.body[0])))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "print":
            spans.append((start_of(node), end_of(node)))
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            spans.append((end_of(node.exc.func), end_of(node.exc)))
        elif isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno > node.lineno:
            inside_texts.update(range(node.lineno + 1, node.end_lineno + 1))  # a line there is text, whatever it looks like
    spans += [
        (starts[number - 1], starts[number])
        for number, line in enumerate(lines, 1)
        if number not in inside_texts and (not line.strip() or line.strip().startswith(b"#"))
    ]
    kept, reached = [], 0
    for start, end in sorted(spans):
        kept.append(source[reached : max(start, reached)])
        reached = max(reached, end)
    return b"".join([*kept, source[reached:]])


def remembered(kind, source, compute):
    """compute(source), kept for later commands by the digest of ``source``: parsing all files takes a third of a second each time."""
    known, key = known_facts(), f"{kind} {hashlib.sha256(source).hexdigest()}"
    if key not in known:
        known[key] = compute(source)
    return known[key]


@cache
def known_facts():
    """What :func:`remembered` keeps, as an earlier command with the same version of this module left it next to the compiled code."""
    file = Path(__file__).parent / "__pycache__" / f"facts-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]}.json"
    found = {}
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text())
    atexit.register(keep_facts, file, found, len(found))
    return found


def keep_facts(file, found, before):
    """Write what was found in addition to the first ``before`` facts; where the folder cannot be written, the next command parses again."""
    if len(found) > before and file.parent.is_dir():
        with suppress(OSError):
            part = file.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(found))
            part.replace(file)
