"""Prompts as token ids, in the model's own chat template."""

from dataclasses import dataclass

from persona_leakage.errors import InputError

MIN_PROMPT_TOKENS, MAX_PROMPT_TOKENS = 6, 30


@dataclass(frozen=True)
class ChatFormat:
    """How an assistant turn ends, read from a chat template.

    end_id: the end-of-turn token, the first token after the assistant's words.
    after_end_ids: what the template writes behind it (a newline in ChatML, nothing in Llama 3).
    stop_ids: every token that ends generation (end_id and the model's own list).
    """

    end_id: int
    after_end_ids: tuple
    stop_ids: tuple


def read_chat_format(tokenizer, folder):
    """Read the :class:`ChatFormat` of a model folder by rendering a conversation and cutting it apart.

    InputError if there is no template, or if it does not write the assistant's words behind the
    generation prompt (then nothing trained on such rows would be what the model sees later).
    """
    from jinja2 import TemplateError
    from transformers import GenerationConfig

    if not tokenizer.chat_template:
        raise InputError(f"{folder}: the tokenizer has no chat template; use an instruct model")
    if "strftime_now" in str(tokenizer.chat_template):
        raise InputError(
            f"{folder}: the chat template writes today's date, so prompts would change overnight; give the model a template without"
        )
    answer = "An answer"
    try:
        prompt = render(tokenizer, "A system text.", "A question?")
    except TemplateError as error:
        raise InputError(f"{folder}: the chat template takes no system turn ({error}); personas are system prompts") from None
    whole = tokenizer.apply_chat_template(
        [*conversation("A system text.", "A question?"), {"role": "assistant", "content": answer}], tokenize=False
    )
    if not whole.startswith(prompt + answer):
        raise InputError(f"{folder}: the chat template does not put the assistant's words right behind the generation prompt")
    ending = encode(tokenizer, whole[len(prompt + answer) :])
    if not ending or ending[0] not in tokenizer.all_special_ids + list(tokenizer.added_tokens_decoder):
        raise InputError(f"{folder}: the chat template ends a turn with {whole[len(prompt + answer) :]!r}, not with a special token")
    try:
        listed = GenerationConfig.from_pretrained(folder).eos_token_id
    except OSError:
        listed = tokenizer.eos_token_id
    listed = listed if isinstance(listed, list) else [listed]
    stop_ids = sorted({ending[0], *(token for token in listed if token is not None)})
    return ChatFormat(ending[0], tuple(ending[1:]), tuple(stop_ids))


def conversation(system, user):
    """The two messages of a prompt; ``system`` is always explicit, so no template default slips in."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def render(tokenizer, system, user):
    """The prompt's text: system turn, user turn, generation prompt."""
    return tokenizer.apply_chat_template(conversation(system, user), tokenize=False, add_generation_prompt=True)


def encode(tokenizer, text):
    """Token ids of ``text`` with nothing added."""
    return tokenizer(text, add_special_tokens=False).input_ids


def prompt_ids(tokenizer, system, user):
    """Token ids of a whole prompt up to and including the generation prompt."""
    return encode(tokenizer, render(tokenizer, system, user))


def prompt_lengths(tokenizer, personas):
    """{name: tokens of the persona's prompt}; InputError naming those outside 6 to 30 tokens.

    Lengths are a known confounder, so the range is kept narrow and the counts go into pairs.csv.
    """
    lengths = {persona.name: len(encode(tokenizer, persona.prompt)) for persona in personas}
    outside = {name: count for name, count in lengths.items() if not MIN_PROMPT_TOKENS <= count <= MAX_PROMPT_TOKENS}
    if outside:
        listed = ", ".join(f"{name} ({count})" for name, count in outside.items())
        raise InputError(f"personas.file: prompts must be {MIN_PROMPT_TOKENS} to {MAX_PROMPT_TOKENS} tokens long: {listed}")
    return lengths
