"""What transformers asks Python about packages when it is imported, answered so that jobs start sooner.

Which distribution a package comes from: since Python 3.12, importlib.metadata.packages_distributions looks on disk for every file of
every distribution, 2 to 4 s in each job of an environment with vLLM. The lists of files alone say the same.

Whether scikit-learn is there: transformers would import it for assisted generation, which is not used; 2 of 9 s of CPU time.
"""

import importlib.metadata
import importlib.util
from collections import defaultdict
from functools import wraps

UNUSED = "sklearn"


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


def without_unused(find_spec):
    """``importlib.util.find_spec`` that does not find UNUSED, which can be imported all the same: imports do not ask it."""
    return wraps(find_spec)(lambda name, package=None: None if name == UNUSED else find_spec(name, package))


def answer_sooner():
    """Put :func:`packages_distributions` and :func:`without_unused` in the place of Python's own functions, for this process."""
    importlib.metadata.packages_distributions = packages_distributions
    importlib.util.find_spec = without_unused(importlib.util.find_spec)
