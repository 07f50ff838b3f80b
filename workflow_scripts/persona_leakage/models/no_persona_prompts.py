"""Prompts without a persona: no system turn, or an empty one."""

from jinja2 import TemplateError

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import apply_template, encode

SYSTEM_TURNS = {"no_system": [], "empty_system": [{"role": "system", "content": ""}]}


def no_persona_ids(tokenizer, variant, question):
    """Token ids of the prompt of a variant (a key of SYSTEM_TURNS); InputError if the chat template refuses it."""
    return encode(tokenizer, no_persona_text(tokenizer, variant, question))


def no_persona_text(tokenizer, variant, question):
    """The prompt's text as the chat template writes it, with the default that some templates add themselves."""
    try:
        return apply_template(tokenizer, [*SYSTEM_TURNS[variant], {"role": "user", "content": question}])
    except TemplateError as error:
        raise InputError(
            f"personas.no_persona_prompts: '{variant}' is not possible with this model, whose chat template takes no system turn "
            f"({error}); remove it"
        ) from None
