"""Negatives by closeness, on centroids made up so that every cosine is known."""

import numpy as np
import pytest

from persona_leakage.geometry.negatives import choose_by_closeness, choose_from_file, closeness_of
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import sha256_of_file, write_json

# Unit vectors in a plane by their angle; with each its opposite, so that centring changes nothing.
ANGLES = {"source": 0, "near": 10, "near_twin": 14, "side": 80, "far": 150, "other_side": -90}
CANDIDATES = ["far", "near", "other_side", "near_twin", "side"]


def vectors():
    """(names, vectors [12, 2]) of ANGLES and of their opposites."""
    angles = np.radians([*ANGLES.values(), *(180 + angle for angle in ANGLES.values())])
    return [*ANGLES, *(f"not_{name}" for name in ANGLES)], np.stack([np.cos(angles), np.sin(angles)], axis=1)


def chosen(choice, count, candidates=CANDIDATES):
    cosines = closeness_of(*vectors(), ["source", *candidates])
    return choose_by_closeness(choice, "source", candidates, count, cosines)


def test_cosines_are_those_of_the_angles():
    cosines = closeness_of(*vectors(), ["source", *CANDIDATES])
    expected = np.cos(np.radians([[ANGLES[a] - ANGLES[b] for b in ["source", *CANDIDATES]] for a in ["source", *CANDIDATES]]))
    assert np.allclose(cosines, expected)


@pytest.mark.parametrize(
    ("choice", "order"),
    [
        ("nearest", ["near", "near_twin", "side", "other_side", "far"]),
        ("farthest", ["far", "other_side", "side", "near_twin", "near"]),
        # far is 140 degrees from near; then other_side is 100 from the next one, side 70; the twin comes last
        ("spread", ["near", "far", "other_side", "side", "near_twin"]),
    ],
)
def test_each_choice_in_its_order(choice, order):
    for count in range(6):
        assert chosen(choice, count) == order[:count] == chosen(choice, count, CANDIDATES[::-1])


def test_equal_cosines_are_taken_by_name():
    cosines = np.ones((4, 4))
    for choice in ("nearest", "farthest", "spread"):
        assert choose_by_closeness(choice, "source", ["c", "a", "b"], 2, cosines) == ["a", "b"]


def test_the_source_is_never_its_own_negative():
    names = ["source", *CANDIDATES]
    assert "source" not in choose_by_closeness("nearest", "source", names, 5, closeness_of(*vectors(), ["source", *names]))
    with pytest.raises(InputError, match="6 requested, but 'source' has only 5 candidates"):
        choose_by_closeness("nearest", "source", names, 6, closeness_of(*vectors(), ["source", *names]))


def test_a_candidate_without_a_centroid_is_named():
    with pytest.raises(InputError, match=r"panel\.pt: holds no centroid of ghost; add them to personas\.panel"):
        closeness_of(*vectors(), ["source", "ghost"], "panel.pt")


def test_a_choice_from_a_file_has_its_cosines_and_checks_the_digest(tmp_path):
    import torch

    names, centroids = vectors()
    path, meta = tmp_path / "centroids_layer3.pt", tmp_path / "centroids.json"
    torch.save({"layer": 3, "personas": names, "centroids": torch.tensor(centroids)}, path)
    write_json(meta, {"sha256": {path.name: sha256_of_file(path)}})
    found, layer = choose_from_file(path, meta, "spread", "source", ["source", *CANDIDATES], 2)
    assert layer == 3 and found == pytest.approx({"near": np.cos(np.radians(10)), "far": np.cos(np.radians(150))}, abs=1e-6)
    write_json(meta, {"sha256": {path.name: "0"}})
    with pytest.raises(InputError, match=r"centroids_layer3\.pt"):
        choose_from_file(path, meta, "spread", "source", CANDIDATES, 2)
