"""Does a tokenizer read the project's texts as they are written? No transformers and no torch: Snakemake's own process asks too."""

import unicodedata
from pathlib import Path
from types import SimpleNamespace

from persona_leakage.infrastructure.cli import InputError, named_in_errors
from persona_leakage.models.chat_template import encode, render

SAMPLE = ("You are a pirate who sails the seven seas.", "How do I make a good cup of coffee?", "An answer.\n\nAnother, longer one")


class PlainTokenizer:
    """What the checks need of a tokenizer, from its tokenizer.json alone."""

    def __init__(self, folder):
        """folder: of a model. InputError, with the path, if its tokenizer.json is not there or cannot be read."""
        self.folder, path = folder, Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise InputError(
                f"{folder}: has no tokenizer.json; save the model's fast tokenizer there"
                f" (transformers: AutoTokenizer.from_pretrained(...).save_pretrained('{folder}'))"
            )
        with named_in_errors(path, "; copy the file again, or save it with the tokenizers version of envs/inference.yaml"):
            from tokenizers import Tokenizer

            self.tokenizer = Tokenizer.from_file(str(path))
        # As transformers does: both would cut or fill texts, and are no part of what a text means.
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def __call__(self, text, add_special_tokens):
        return SimpleNamespace(input_ids=self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids, skip_special_tokens=False):
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    def convert_ids_to_tokens(self, ids):
        return [self.tokenizer.id_to_token(token) for token in ids]

    def largest_id(self):
        """The largest id of a token that ordinary text can hold; added tokens stand in texts of the template alone."""
        added = self.tokenizer.get_added_tokens_decoder()
        return max(token for token in self.tokenizer.get_vocab(with_added_tokens=False).values() if token not in added)


def check_texts(tokenizer, texts, control_ids):
    """InputError if the tokenizer loses part of a text, or if a text holds a token that stands for the structure of a conversation.

    texts: [(config key or file, text)]; control_ids: see ChatFormat. A model would take such a token for the end of a turn.
    """
    for key, text in texts:
        ids = encode(tokenizer, text)
        if held := [token for token in ids if token in control_ids]:
            (name, *_) = tokenizer.convert_ids_to_tokens(held[:1])
            raise InputError(f"{key}: {text!r} holds {name!r}, which is a control token of this model, not text; reword it")
        back = tokenizer.decode(ids)
        if comparable(back) != comparable(text):
            raise InputError(f"{key}: {text!r} comes back from this model's tokenizer as {back!r}; reword it, or use another model")


def comparable(text):
    """A text in one normal form, without the blank before it that some tokenizers add and others drop."""
    return unicodedata.normalize("NFC", text).strip()


def check_tokenizer(tokenizer, plain, folder, texts, rows):
    """InputError unless the tokenizer that transformers made of a model folder is usable: that of its tokenizer.json, and whole.

    plain: the :class:`PlainTokenizer`. texts: [(key, text)] for check_same_ids; rows: of the model's embedding, which must have
    one for each token that text can hold.
    """
    check_same_ids(tokenizer, plain, [*(("a sample", text) for text in SAMPLE), *texts])
    if (largest := plain.largest_id()) >= rows:
        raise InputError(
            f"{folder}: tokenizer.json has token ids up to {largest}, but the model's embedding only {rows} rows;"
            " copy tokenizer and weights from the same model"
        )


def check_rows(tokenizer, chat, folder, rows):
    """InputError unless the embedding has a row for every token that the chat template writes or that ends a reply."""
    written = {*encode(tokenizer, render(tokenizer, *SAMPLE[:2])), chat.end_id, *chat.after_end_ids, *chat.stop_ids}
    if max(written) >= rows:
        (name,) = tokenizer.convert_ids_to_tokens([max(written)])
        raise InputError(
            f"{folder}: the chat template's token {name!r} has id {max(written)}, but the model's embedding only {rows} rows;"
            " resize the embedding and save the model again"
        )


def check_same_ids(tokenizer, plain, texts):
    """InputError if the tokenizer that transformers made of a folder reads a text otherwise than ``plain``, its tokenizer.json.

    It does where tokenizer_config.json, or config.json, names a class that the file was not made with. texts: [(key, text)].
    """
    for key, text in texts:
        own, expected = encode(tokenizer, text), encode(plain, text)
        if own != expected:
            first = next((index for index, pair in enumerate(zip(own, expected, strict=False)) if len(set(pair)) > 1), 0)
            read, wanted = (each.convert_ids_to_tokens(ids[first : first + 5]) for each, ids in ((tokenizer, own), (plain, expected)))
            raise InputError(
                f"{plain.folder}: transformers makes a {type(tokenizer).__name__} of this folder, which reads {text!r} ({key}) as"
                f" {read} where tokenizer.json says {wanted}; set tokenizer_class in tokenizer_config.json to the one it was made with"
            )
