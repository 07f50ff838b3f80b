"""A judge that is a model on this machine: enumerated scores, or the likelihoods of a reply under two system prompts."""

from dataclasses import dataclass
from typing import Any

from persona_leakage.behaviours.choice_log_probability import log_probabilities_of_all
from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import apply_template, encode, encode_reply, prompt_ids
from persona_leakage.models.loading import load_chat_format, load_tokenizer, read_manifest
from persona_leakage.models.reading import prepare_reading

CHOICES_AT_ONCE = 16  # answers after one prompt in a pass
CHUNK = 256


@dataclass(frozen=True)
class LocalJudge:
    """A judge with the methods of judges.asking.Judge; base weights alone, never an adapter.

    manifest: of the model; precision: as in the config; store: folder of finished log-probabilities.
    """

    judge: Any
    manifest: dict
    precision: str
    store: Any

    def best_mode(self, scores):
        """likelihood if the config has the two system prompts, else enumerated."""
        return "likelihood" if self.judge.likelihood else "enumerated"

    def ask(self, asks, mode, label):
        """See judges.asking.Judge."""
        tokenizer = load_tokenizer(self.manifest["folder"])
        end = load_chat_format(self.manifest).end_id
        return (self.compare if mode == "likelihood" else self.enumerate)(asks, tokenizer, end)

    def enumerate(self, asks, tokenizer, end):
        """{"logs": {choice: log-probability of that whole answer and its end}} of each."""
        queries, places = [], []
        for each in asks:
            turns = [{"role": "user", "content": each.score.fill(each.question, each.answer)}]
            prompt = encode(tokenizer, apply_template(tokenizer, turns))
            choices = each.score.choices()
            replies = [(*encode_reply(tokenizer, choice)[0], end) for choice in choices]
            starts = range(0, len(choices), CHOICES_AT_ONCE)
            places.append((choices, len(queries), len(starts)))
            queries += [(prompt, tuple(replies[start : start + CHOICES_AT_ONCE])) for start in starts]
        logs = self.read(queries)
        return [
            {"logs": dict(zip(choices, [log for part in logs[first : first + count] for log in part], strict=True))}
            for choices, first, count in places
        ]

    def compare(self, asks, tokenizer, end):
        """{"value"}: mean log-probability per token of the reply under the first system prompt, minus that under the second, in nats."""
        systems = (self.judge.likelihood.shown, self.judge.likelihood.not_shown)
        queries, lengths = [], []
        for each in asks:
            reply = encode_reply(tokenizer, each.answer) if each.answer.strip() else None
            lengths.append(len(reply[0]) if reply and reply[0] else None)
            if lengths[-1]:
                queries += [(prompt_ids(tokenizer, system, each.question), (tuple(reply[0]),)) for system in systems]
        logs = iter(log for (log,) in (self.read(queries) if queries else ()))
        return [{"value": (next(logs) - next(logs)) / length} if length else {"state": "unparsable"} for length in lengths]

    def read(self, queries):
        """Log-probabilities of replies, each after its prompt."""
        load, _, identity = prepare_reading(self.manifest, None, self.precision, None)
        return log_probabilities_of_all(load, queries, identity, self.store, CHUNK)[0]


def open_judge(judge, store, context):
    """The :class:`LocalJudge` of a config block. context: "model" (the experiment's model.json), "precision", "restart" (a folder)."""
    manifest = context["model"]
    if judge.model:
        manifest = f"{store.path.parent}/judge_model.json"
        fetch_readable_model({"name": "judge", "source": "path", "location": judge.model, "revision": ""}, manifest)
    if not manifest:
        raise InputError("judge.model: missing; give the folder of a model")
    return LocalJudge(judge, read_manifest(manifest), context["precision"], context["restart"])
