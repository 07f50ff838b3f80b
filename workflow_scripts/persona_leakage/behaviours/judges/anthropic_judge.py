"""A judge called through Anthropic's API, call by call or in Message Batches."""

import time
from pathlib import Path

import anthropic

from persona_leakage.behaviours.judges.paid import (
    RETRIES,
    TIMEOUT,
    PaidJudge,
    announce,
    ask_missing,
    check_all_there,
    check_model,
    named_errors,
    read_key,
    request_key,
)
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, write_json

KEY_NAME = "ANTHROPIC_API_KEY"
PARAMETERS = {"max_tokens": 1024}  # room for models that think first; the client has no temperature
ID_LENGTH = 48  # of custom_id, at most 64
BATCH_REQUESTS = 10_000  # of at most 100,000 and 256 MB
POLL_SECONDS = 60.0
ROUNDS = 3  # batches for requests that error or expire


class AnthropicJudge(PaidJudge):
    """A judge with the methods of judges.asking.Judge. It gives no log-probabilities, so a score is a number."""

    def best_mode(self, scores):
        """A number."""
        return "number"

    def ask(self, asks, mode, label):
        """See judges.asking.Judge."""
        requests = [
            {"prompt": each.score.fill(each.question, each.answer), "parameters": PARAMETERS} | ({"copy": each.copy} if each.copy else {})
            for each in asks
        ]
        if not self.judge.batch:
            return ask_missing(self.judge, requests, self.store, self.call, anthropic, label)
        wanted = {request_key(self.judge, request): request for request in requests}
        announce(self.judge, wanted, self.store.answers, label)
        try:
            with named_errors(anthropic, self.judge, KEY_NAME):
                self.ask_in_batches(wanted)
        except (anthropic.APIConnectionError, anthropic.APIStatusError) as error:
            raise InputError(f"judge.batch: {type(error).__name__}; answers are kept and the batch is on record; run again") from None
        return [self.store.answers[request_key(self.judge, request)] for request in requests]

    def parameters(self, request):
        """What the API receives for a request."""
        return {"model": self.judge.model, "messages": [{"role": "user", "content": request["prompt"]}], **request["parameters"]}

    def call(self, request):
        """The answer to one request, see answers.read_answer."""
        with named_errors(anthropic, self.judge, KEY_NAME):
            return self.read_message(self.client.messages.create(**self.parameters(request)))

    def read_message(self, message):
        """A message as an answer."""
        check_model(self.judge, message.model)
        return {
            "text": "".join(block.text for block in message.content if block.type == "text"),
            "finish": message.stop_reason,
            "model": message.model,
            "tokens": [message.usage.input_tokens, message.usage.output_tokens],
        }

    def ask_in_batches(self, wanted):
        """Get an answer to each request of ``wanted`` {key: request}; requests that fail or expire go into the next batch."""
        self.finish_pending(wanted)
        for _ in range(ROUNDS):
            missing = [key for key in wanted if key not in self.store.answers]
            for start in range(0, len(missing), BATCH_REQUESTS):
                self.start_batch(missing[start : start + BATCH_REQUESTS], wanted)
                self.finish_pending(wanted)
        check_all_there(wanted, self.store, ["errored or expired in the batch"])

    @property
    def pending(self):
        """The file that records the pending batch: {"keys", "since", "id" once known}."""
        return Path(self.store.path).with_name("pending_batch.json")

    def start_batch(self, keys, wanted):
        """Create a batch. Its requests are recorded beforehand, its id as soon as it is known."""
        note = {"keys": keys, "since": time.time(), "id": None}
        write_json(self.pending, note)
        batch = self.client.messages.batches.create(
            requests=[{"custom_id": key[:ID_LENGTH], "params": self.parameters(wanted[key])} for key in keys]
        )
        write_json(self.pending, {**note, "id": batch.id})

    def finish_pending(self, wanted):
        """Wait for the recorded batch, of this job or of a killed one, and keep its answers."""
        if not self.pending.is_file():
            return
        note = read_json(self.pending)
        keys = {key[:ID_LENGTH]: key for key in note["keys"]}
        for number in [note["id"]] if note["id"] else self.unknown_batches(note):
            self.wait_for(number)
            for entry in self.client.messages.batches.results(number):
                if entry.custom_id in keys and entry.result.type == "succeeded":
                    self.store.add(keys[entry.custom_id], self.read_message(entry.result.message))
        self.pending.unlink()

    def unknown_batches(self, note):
        """Ids of batches that may be the one whose id was lost when the job was killed: of its size and no older."""
        found = []
        for batch in self.client.messages.batches.list(limit=100):
            counts = batch.request_counts
            total = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
            if batch.created_at.timestamp() < note["since"] - TIMEOUT:
                break
            if total == len(note["keys"]):
                found.append(batch.id)
        return found

    def wait_for(self, number):
        """Return once a batch has ended."""
        while self.client.messages.batches.retrieve(number).processing_status != "ended":
            print(f"batch {number}: not finished; asking again in {POLL_SECONDS:.0f} s", flush=True)
            time.sleep(POLL_SECONDS)


def open_judge(judge, store, context):
    """The :class:`AnthropicJudge` of a config block; InputError without a key."""
    key = read_key(KEY_NAME, judge.url)
    return AnthropicJudge(judge, store, anthropic.Anthropic(api_key=key, base_url=judge.url, max_retries=RETRIES, timeout=TIMEOUT))
