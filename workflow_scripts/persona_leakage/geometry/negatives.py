"""Which personas serve as a source's negatives, by their closeness to it in the base model."""

import numpy as np

from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import check_digests


def closeness_of(names, vectors, wanted, path="centroids"):
    """Cosines between the centroids of ``wanted`` personas: float64 [wanted, wanted]; InputError if one has no centroid.

    vectors [personas, hidden] of the personas ``names``; they are centred on all of them, as in pairs.csv.
    """
    if missing := [name for name in wanted if name not in names]:
        raise InputError(f"{path}: holds no centroid of {', '.join(missing)}; add them to personas.panel")
    indices = [names.index(name) for name in wanted]
    return cosine_matrix(vectors, centred=True)[np.ix_(indices, indices)]


def choose_by_closeness(choice, source, candidates, count, cosines):
    """``count`` of the ``candidates`` in the order of their choice: the nearest to the source, the farthest, or a spread of them.

    cosines [1 + candidates, 1 + candidates]: of the source, then of the candidates in their order. spread: first the nearest to
    the source; then, one after another, the candidate whose highest cosine to those chosen is lowest (greedy farthest-point
    choice: Gonzalez 1985, Theoretical Computer Science 38, 293-306). Of equals the first by name. InputError if there are fewer.
    """
    others = sorted(name for name in {*candidates} if name != source)
    if count > len(others):
        raise InputError(f"training_data.negative_personas: {count} requested, but '{source}' has only {len(others)} candidates")
    place = {name: 1 + list(candidates).index(name) for name in others}
    to_source = {name: cosines[0, place[name]] for name in others}
    if choice != "spread":
        sign = -1 if choice == "nearest" else 1
        return sorted(others, key=lambda name: (sign * to_source[name], name))[:count]
    chosen = []
    while len(chosen) < count:
        left = [name for name in others if name not in chosen]
        if not chosen:
            chosen.append(min(left, key=lambda name: (-to_source[name], name)))
        else:
            chosen.append(min(left, key=lambda name: (max(cosines[place[name], place[each]] for each in chosen), name)))
    return chosen


def choose_from_file(path, meta, choice, source, candidates, count):
    """({chosen name: its cosine to the source, rounded}, layer) by choose_by_closeness; path: a file of centroids, meta: centroids.json."""
    check_digests([path], meta)
    content, others = read_centroids(path), sorted({*candidates} - {source})
    cosines = closeness_of(content["personas"], content["centroids"], [source, *others], path)
    chosen = choose_by_closeness(choice, source, others, count, cosines)
    return {name: round(float(cosines[0, 1 + others.index(name)]), 6) for name in chosen}, content["layer"]
