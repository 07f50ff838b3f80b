"""The library's packages, lowest first: a module imports only from its own package and from lower ones."""

import ast

import pytest

from tests.conftest import ROOT

LIBRARY = ROOT / "workflow_scripts/persona_leakage"
ORDER = [
    "infrastructure",
    "config",
    "models",
    "inference",
    "behaviours",
    "training",
    "geometry",
    "tables",
    "statistics/core",
    "statistics/leakage",
    "statistics/comparisons",
    "statistics/prediction",
    "statistics/validation",
    "figures",
    "reporting",
    "publishing",
]
MODULES = sorted(path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py") if path.name != "__init__.py")


def level_of(parts):
    """Index in ORDER of the package of a module's path or dotted name, given as its parts; config/blocks counts as config."""
    return ORDER.index("/".join(parts[:2]) if parts[0] == "statistics" else parts[0])


def test_every_module_is_in_a_package_of_the_order():
    assert {ORDER[level_of(path.parts)] for path in MODULES} == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_down_only(path):
    for node in ast.walk(ast.parse((LIBRARY / path).read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("persona_leakage."):
            imported = node.module.split(".")[1:]
            assert level_of(imported) <= level_of(path.parts), f"line {node.lineno} imports {node.module}"


def test_package_files_are_empty():
    """Code in one would be part of the digest of every program that imports anything of its package."""
    for path in LIBRARY.rglob("__init__.py"):
        assert path.parent == LIBRARY or path.read_bytes() == b"", path
