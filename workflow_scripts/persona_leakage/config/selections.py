"""The personas and questions that a stage uses: described in its settings, and read again by its program."""

from persona_leakage.config.personas import parts_of_source, read_personas, read_question_sets, select_personas
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of


def describe_personas(personas, names, *fields):
    """The selection block of settings: names, and a digest of those ``fields`` of them that the stage uses.

    With the digest among a job's parameters, an edited prompt makes exactly its users stale;
    adding a persona to the file makes nothing stale.
    """
    content = [[getattr(persona, field) for field in fields] for persona in select_personas(personas, names)]
    return {"names": names, "fields": list(fields), "digest": digest_of(content)}


def describe_questions(question_sets, use):
    """The selection block of settings for a question set: its name, how many, and a digest of those."""
    return {**use, "digest": digest_of(question_sets[use["set"]][: use["count"]])}


def chosen_personas(source, selection):
    """The personas of a selection block, read from ``source`` (see read_personas); InputError if they changed since the block was made."""
    personas = read_personas(source)
    known = selection["names"] == "all" or set(selection["names"]) <= set(personas)
    if not known or describe_personas(personas, selection["names"], *selection["fields"]) != selection:
        raise InputError(f"{parts_of_source(source)[0]}: changed since this run started; start it again")
    return select_personas(personas, selection["names"])


def chosen_questions(path, selection):
    """The questions of a selection block, read from ``path``; InputError if the file changed since the block was made."""
    question_sets = read_question_sets(path)
    if (
        selection["set"] not in question_sets
        or describe_questions(question_sets, {key: selection[key] for key in ("set", "count")}) != selection
    ):
        raise InputError(f"{path}: changed since this run started; start it again")
    return question_sets[selection["set"]][: selection["count"]]
