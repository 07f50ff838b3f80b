"""Prompts without a persona: no system turn, an empty one, and what the chat template itself puts there."""

from jinja2 import TemplateError

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import apply_template, encode

VARIANTS = ("no_system", "empty_system", "template_default")
PROBE = "zq1"  # a system text that no template has a use for


def variant_ids(tokenizer, variant, question):
    """Token ids of the prompt of a variant (one of VARIANTS); InputError if the chat template cannot express it."""
    return encode(tokenizer, variant_text(tokenizer, variant, question))


def variant_text(tokenizer, variant, question):
    """The prompt's text. template_default: what the template makes of the user's turn alone."""
    makers = {"no_system": without_system, "empty_system": with_empty_system, "template_default": apply_template}
    return makers[variant](tokenizer, [turn("user", question)])


def turn(role, content):
    """A message."""
    return {"role": role, "content": content}


def with_empty_system(tokenizer, user):
    """A system turn without text: the prompt with a probe in its system turn, less the probe; InputError if there is no such turn."""
    try:
        probed = apply_template(tokenizer, [turn("system", PROBE), *user])
        empty = apply_template(tokenizer, [turn("system", ""), *user])
    except TemplateError as error:
        raise refusal("empty_system", f"takes no system turn ({error})") from None
    alone = without_system(tokenizer, user, "empty_system").removeprefix(tokenizer.bos_token or "")
    if not probed.endswith(alone):
        raise refusal("empty_system", "puts the system text into the user's turn")
    if probed.count(PROBE) != 1 or empty != probed.replace(PROBE, ""):
        raise refusal("empty_system", "writes no system turn, or a default, where its text is empty")
    return empty


def without_system(tokenizer, user, variant="no_system"):
    """The user's turn and the generation prompt alone, even where the template puts a default in front of the first turn.

    Then it is what the template writes of them behind an earlier exchange. InputError if that is not how the first turn is written.
    """
    question, answer, bos = user[0]["content"], "zq2", tokenizer.bos_token or ""
    exchange = [*user, turn("assistant", answer)]
    bare = apply_template(tokenizer, user)
    start, _, tail = bare.rpartition(question)
    later, _, later_tail = apply_template(tokenizer, [*exchange, *user]).rpartition(question)
    ending = apply_template(tokenizer, exchange, add_generation_prompt=False).rpartition(answer)[2]
    behind = later.rpartition(answer)[2]
    if tail == later_tail and behind.endswith(start.removeprefix(bos)):
        return bare
    header = behind.removeprefix(ending)
    if tail != later_tail or not behind.startswith(ending) or not start.endswith(header):
        raise refusal(variant, "puts a default before the user's turn that cannot be told apart from it")
    keeps_bos = start.startswith(bos) and not header.startswith(bos)
    return (bos if keeps_bos else "") + header + question + tail


def refusal(variant, reason):
    """The error of a variant that a template cannot express."""
    return InputError(f"personas.no_persona_prompts: '{variant}' cannot be had with this model: its chat template {reason}; leave it out")
