"""Seeds: pinned, of all parts, and of windows that do not meet."""

from itertools import pairwise

from persona_leakage.config.personas import read_personas, read_question_sets
from persona_leakage.infrastructure.seeds import derive_seed
from tests.conftest import CONFIG, ROOT


def test_seeds_depend_on_all_parts():
    """Every part counts, its place counts, and borders between parts cannot slip."""
    cases = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("c", "ab"), (1, 23), (12, 3), ("1:a", "b"), ("1", ":ab")]
    assert len({derive_seed(*case) for case in cases}) == len(cases)
    assert derive_seed("villain", 42) == derive_seed("villain", 42)


def test_seeds_are_pinned():
    """SHA-256 of "2:421:a", first 31 bits: another derivation would change every result of every experiment."""
    assert derive_seed(42, "a") == 0x4BF35DA6 >> 1


def test_windows_of_seeds_do_not_meet():
    """An engine may use seed + i for the i-th of ten replies: no reply of the whole study shares its seed with another."""
    personas = read_personas(str(ROOT / CONFIG["personas"]["file"]))
    questions = read_question_sets(str(ROOT / CONFIG["questions"]["file"]))["evaluation"]
    seeds = [derive_seed(42, "evaluation", 0, "villain/42", name, question, 0) for name in personas for question in questions]
    assert len(seeds) == 2220 and min(after - before for before, after in pairwise(sorted(seeds))) >= 10
