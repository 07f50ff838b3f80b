"""Which distribution an importable package comes from, for transformers, which asks Python when it is imported.

Since Python 3.12, importlib.metadata.packages_distributions looks on disk for every file of every distribution: 2 to 4 s in each job
of an environment with vLLM. The lists of files alone say the same.
"""

import importlib.metadata
from collections import defaultdict


def packages_distributions():
    """{top-level package or module: [distribution names]}, as importlib.metadata's function of that name; more names are harmless."""
    found = defaultdict(list)
    for distribution in importlib.metadata.distributions():
        said = distribution.metadata["Name"]  # None in what is left of a broken installation
        for name in sorted(top_level_names(distribution)) if said else ():
            found[name].append(said)
    return dict(found)


def top_level_names(distribution):
    """The set of what a distribution declares in top_level.txt; without that file, the first parts of the paths in its RECORD."""
    declared = (distribution.read_text("top_level.txt") or "").split()
    if declared:
        return set(declared)
    paths = [line.partition(",")[0] for line in (distribution.read_text("RECORD") or "").splitlines()]
    return {first if inside else first.partition(".")[0] for first, inside, _ in (path.partition("/") for path in paths)} - {""}


def answer_from_records():
    """Put :func:`packages_distributions` in the place of Python's own, for this process."""
    importlib.metadata.packages_distributions = packages_distributions
