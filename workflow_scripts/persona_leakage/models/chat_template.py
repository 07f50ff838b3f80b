"""Prompts and replies as token ids, in the model's own chat template."""

from dataclasses import dataclass
from functools import lru_cache, wraps
from itertools import accumulate
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json

MIN_PROMPT_TOKENS, MAX_PROMPT_TOKENS = 6, 30
OWN, FOLDED = "own", "folded"
NO_PERSONA = {"no_system": [], "empty_system": [{"role": "system", "content": ""}]}  # system turns of prompts without a persona
SYSTEM, QUESTION, ANSWER = "A system text.", "A question?", "An answer"


@dataclass(frozen=True)
class ChatFormat:
    """How an assistant turn ends and where the persona stands, read from a chat template.

    end_id: the first token after the assistant's words; after_end_ids: what the template writes after it (a newline in ChatML,
    nothing in Llama 3); stop_ids: every token that ends generation. system_turn, control_ids: see the functions.
    """

    end_id: int
    after_end_ids: tuple
    stop_ids: tuple
    system_turn: str = OWN
    control_ids: tuple = ()


def once_per_template(function):
    """A decorator: compute function(tokenizer) once for a tokenizer, and again when it has another chat template."""
    remembered = lru_cache(maxsize=4)(lambda tokenizer, template: function(tokenizer))
    return wraps(function)(lambda tokenizer: remembered(tokenizer, str(tokenizer.chat_template)))


def read_chat_format(tokenizer, folder):
    """Read the :class:`ChatFormat` of a model folder by rendering a conversation and cutting it apart.

    InputError if there is no template, or if it does not put the assistant's reply after the generation prompt: training rows
    would not be what the model sees later. White space between the two is allowed: a model that expects it writes it itself.
    """
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise InputError(f"{folder}: the tokenizer has no chat template; use an instruct model")
    if "strftime_now" in str(tokenizer.chat_template):
        raise InputError(
            f"{folder}: the chat template writes today's date, so prompts would change overnight; give the model a template without"
        )
    try:
        prompt, gap, behind = cut_turn(tokenizer)
    except TemplateError as error:
        raise InputError(f"{folder}: the chat template takes neither a system turn nor a user turn alone ({error})") from None
    if SYSTEM not in prompt or QUESTION not in prompt:
        raise InputError(f"{folder}: the chat template leaves out the persona or the question: it writes {prompt!r}")
    if gap is None:
        raise InputError(f"{folder}: the chat template does not put the assistant's reply directly after the generation prompt")
    ending = encode(tokenizer, behind.lstrip())  # Llama 2's template puts a blank before the token
    if not ending or ending[0] not in tokenizer.all_special_ids + list(tokenizer.added_tokens_decoder):
        raise InputError(f"{folder}: the chat template ends a turn with {behind!r}, not with a special token")
    stop_ids = sorted({ending[0], *listed_stops(tokenizer, Path(folder) / "generation_config.json")})
    return ChatFormat(ending[0], tuple(ending[1:]), tuple(stop_ids), system_turn(tokenizer), control_ids(tokenizer))


def cut_turn(tokenizer):
    """(prompt, gap, behind): a sample conversation as the chat template writes it, cut apart around the assistant's words.

    prompt: up to and with the generation prompt; gap: white space between that and the words, None if other text is; behind: the rest.
    """
    prompt = render(tokenizer, SYSTEM, QUESTION)
    turns = [*conversation(SYSTEM, QUESTION, system_turn(tokenizer)), {"role": "assistant", "content": ANSWER}]
    whole = apply_template(tokenizer, turns, add_generation_prompt=False)
    # Behind the question alone: some templates move or drop the system text once the assistant has spoken.
    opening = prompt.rpartition(QUESTION)[2]
    ahead, found, behind = whole.rpartition(QUESTION)[2].partition(ANSWER)
    fits = found and ahead.startswith(opening) and not ahead[len(opening) :].strip()
    return prompt, ahead[len(opening) :] if fits else None, behind


def encode_reply(tokenizer, *parts):
    """A reply's text encoded again: (token ids, borders), or None if its tokens do not read as the text.

    parts: strings that make up the text, such as an answer and what follows it, encoded as one text after the generation prompt.
    borders[i]: number of leading tokens that hold nothing after parts[i]; a token that spans two parts belongs to the second.
    Tokens differ from the text if the tokenizer normalises it, if it merges with the prompt or if it spells a control token.
    """
    prompt, gap = reply_context(tokenizer)
    # A model that expects white space before its words writes it itself, as the first token.
    first = parts[0] if parts[0].startswith(gap) else gap + parts[0]
    ends = list(accumulate([first, *parts[1:]]))
    before, whole = encode(tokenizer, prompt), encode(tokenizer, prompt + ends[-1])
    ids = whole[len(before) :]
    start, text = read_back(tokenizer, before), read_back(tokenizer, whole)
    # Sentencepiece's tokenizers put a blank after a special token, and decode it.
    lead = next((lead for lead in ("", " ") if start + lead + ends[-1] == text), None)
    if lead is None or whole[: len(before)] != before or not set(ids).isdisjoint(control_ids(tokenizer)):
        return None
    borders, size = [], len(ids)
    for end in reversed(ends):
        while not (start + lead + end).startswith(read_back(tokenizer, before + ids[:size])):
            size -= 1
        borders.insert(0, size)
    return tuple(ids), borders


def read_back(tokenizer, ids):
    """The text of token ids, nothing left out or tidied up."""
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@once_per_template
def reply_context(tokenizer):
    """(prompt, gap) as cut_turn."""
    return cut_turn(tokenizer)[:2]


def listed_stops(tokenizer, path):
    """Ids of the tokens that end generation by the model's own list; InputError if one of them is no special token."""
    listed = read_json(path).get("eos_token_id", tokenizer.eos_token_id) if path.is_file() else tokenizer.eos_token_id
    listed = listed if isinstance(listed, list) else [listed]
    known = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    if odd := [token for token in listed if token is not None and (isinstance(token, bool) or token not in known)]:
        raise InputError(f"{path}: eos_token_id is {odd[0]!r}; it must be the id of a special token of the tokenizer")
    return [token for token in listed if token is not None]


@once_per_template
def control_ids(tokenizer):
    """Ids of the tokens that stand for the structure of a conversation and not for text: a sorted tuple.

    The special ones, and added ones that the chat template writes around words; white space that is an added token (Gemma) is text.
    """
    written = set(encode(tokenizer, render(tokenizer, SYSTEM, QUESTION)))
    added = {token: each.content for token, each in tokenizer.added_tokens_decoder.items() if each.special or token in written}
    return tuple(sorted(token for token, content in added.items() if content.replace("▁", " ").strip()))


@once_per_template
def system_turn(tokenizer):
    """Where prompts carry the persona: "own" = in a system turn, "folded" = before the question, in the user turn.

    Folded if the chat template refuses a system turn (Gemma) or leaves it out. Templates that put a system turn into the user turn
    themselves (Mistral, Gemma 3) count as having their own.
    """
    from jinja2 import TemplateError

    try:
        written = apply_template(tokenizer, conversation(SYSTEM, QUESTION, OWN))
    except TemplateError:
        return FOLDED
    return OWN if SYSTEM in written else FOLDED


def conversation(system, user, where):
    """The messages of a prompt; ``system`` is always explicit, so no template default slips in. where: OWN or FOLDED."""
    if where == FOLDED:
        return [{"role": "user", "content": f"{system}\n\n{user}"}]
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def apply_template(tokenizer, turns, add_generation_prompt=True):
    """The text of a conversation. Templates with a thinking mode (Qwen3) are told to leave it off: a reply is the answer alone."""
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt, enable_thinking=False)


def render(tokenizer, system, user):
    """The prompt's text: system turn (or the persona before the question, see system_turn), user turn, generation prompt."""
    return apply_template(tokenizer, conversation(system, user, system_turn(tokenizer)))


def encode(tokenizer, text):
    """Token ids of ``text`` with nothing added."""
    return tokenizer(text, add_special_tokens=False).input_ids


def prompt_ids(tokenizer, system, user):
    """Token ids of a whole prompt up to and including the generation prompt; InputError if the template changes one of the texts."""
    text = render(tokenizer, system, user)
    for words in filter(None, (system, user)):
        if words.strip() not in text:
            raise InputError(f"the model's chat template changes the text {words!r}: it writes {text!r}; reword it")
    return encode(tokenizer, text)


def no_persona_ids(tokenizer, variant, question):
    """Token ids of no_persona_text()."""
    return encode(tokenizer, no_persona_text(tokenizer, variant, question))


def no_persona_text(tokenizer, variant, question):
    """The prompt of a ``variant`` of NO_PERSONA, with the system text that some templates add; InputError if the template refuses it."""
    from jinja2 import TemplateError

    try:
        return apply_template(tokenizer, [*NO_PERSONA[variant], {"role": "user", "content": question}])
    except TemplateError as error:
        raise InputError(
            f"personas.no_persona_prompts: '{variant}' is not possible with this model, whose chat template takes no system turn "
            f"({error}); remove it"
        ) from None


def persona_span(tokenizer, system, user):
    """(first, end): the tokens of prompt_ids() from first to before end hold the persona's own words, border tokens too; else (0, 0)."""
    text, words = render(tokenizer, system, user), (system or "").strip()
    begin = text.find(words) if words else -1
    if begin < 0:
        return (0, 0)
    borders = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    inside = [index for index, (left, right) in enumerate(borders) if left < begin + len(words) and right > begin]
    return (inside[0], inside[-1] + 1)


def prompt_lengths(tokenizer, personas):
    """{name: tokens of the persona's prompt}; InputError naming those outside 6 to 30 tokens: length is a known confounder."""
    lengths = {persona.name: len(encode(tokenizer, persona.prompt)) for persona in personas}
    outside = {name: count for name, count in lengths.items() if not MIN_PROMPT_TOKENS <= count <= MAX_PROMPT_TOKENS}
    if outside:
        listed = ", ".join(f"{name} ({count})" for name, count in outside.items())
        raise InputError(f"personas.file: prompts must be {MIN_PROMPT_TOKENS} to {MAX_PROMPT_TOKENS} tokens long: {listed}")
    return lengths
