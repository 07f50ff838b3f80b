"""Can a model read what a config will put in front of it? Its tokenizer, chat template and limits against all texts."""

from types import SimpleNamespace

from persona_leakage.behaviour import read_marker
from persona_leakage.chat import encode, prompt_ids, prompt_lengths, read_chat_format
from persona_leakage.errors import named_in_errors
from persona_leakage.model_limits import check_length
from persona_leakage.tokenizer_checks import PlainTokenizer, check_rows, check_texts, check_tokenizer


def check_reading(tokenizer, folder, texts, limits, rows):
    """The :class:`ChatFormat` of a model folder, after checking its tokenizer and, if ``texts`` are given, all of them.

    texts: {"texts": [(key, text)], "prompts": {persona: prompt}, "questions": [question], "behaviour": {"marker",
    "separator"}, "replies": {config key: most tokens of a reply}} (see model_checks.texts_of). limits: see limits_of;
    rows: of the embedding. InputError in one line.
    """
    check_tokenizer(tokenizer, PlainTokenizer(folder), folder, texts["texts"] if texts else (), rows)
    with named_in_errors(folder):
        chat = read_chat_format(tokenizer, folder)
    check_rows(tokenizer, chat, folder, rows)
    if texts:
        read_marker(tokenizer, **texts["behaviour"])
        check_texts(tokenizer, texts["texts"], set(chat.control_ids))
        prompt_lengths(tokenizer, [SimpleNamespace(name=name, prompt=prompt) for name, prompt in texts["prompts"].items()])
        check_replies(limits, longest_prompt(tokenizer, texts), texts)
    return chat


def longest_prompt(tokenizer, texts):
    """Tokens of the longest prompt, from the longest persona and question."""
    persona, question = (
        max(some, key=lambda text: len(encode(tokenizer, text))) for some in (texts["prompts"].values(), texts["questions"])
    )
    return len(prompt_ids(tokenizer, persona, question))


def check_replies(limits, prompt, texts):
    """InputError, with the config key, if a prompt of so many tokens and the longest reply allowed are beyond a limit of the model."""
    for key, most in texts["replies"].items():
        check_length(limits, prompt + most, key, "prompt and reply")
