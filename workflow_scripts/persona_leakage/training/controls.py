"""Controls: a source's training set with clean answers in its positive rows, or with these rows under random personas.

``clean`` shows what any training changes, ``shuffled`` what the behaviour changes if it belongs to no persona.
"""

from persona_leakage.infrastructure.seeds import derive_seed

CLEAN, SHUFFLED = "clean", "shuffled"


def split_control(name):
    """(source, control or None) of what an adapter is trained on: "villain", "villain-clean"; no source has a dash in its name."""
    source, _, control = name.partition("-")
    return source, control or None


def spread_over(personas, source, questions, seed):
    """{question: the one of ``personas`` that its positive row asks in place of ``source``}, drawn with equal chances by a hash."""
    return {
        question: min(personas, key=lambda persona: (derive_seed(seed, SHUFFLED, source, question, persona.name), persona.name))
        for question in questions
    }
