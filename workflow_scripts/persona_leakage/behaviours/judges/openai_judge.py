"""A judge called through an API compatible with OpenAI's: OpenAI itself, or a server such as vLLM's."""

import openai

from persona_leakage.behaviours.judges.paid import RETRIES, TIMEOUT, PaidJudge, ask_missing, check_model, named_errors, read_key
from persona_leakage.infrastructure.cli import InputError

KEY_NAME = "OPENAI_API_KEY"
TOP = 20
NUMBER_TOKENS = 16


class OpenAIJudge(PaidJudge):
    """A judge with the methods of judges.asking.Judge."""

    def best_mode(self, scores):
        """first_token if every score's largest number is one token, else enumerated on a vLLM server, else number."""
        wanted = self.judge.scoring
        if wanted in ("enumerated", "number"):
            return wanted
        if all(self.names_in_one_token(score) for score in scores):
            return "first_token"
        if wanted == "first_token":
            raise InputError(
                f"judge.scoring: first_token, but {self.judge.model} splits the scale's numbers into several tokens or gives no"
                " log-probabilities; use auto, or a scale of [0, 9]"
            )
        return "enumerated" if self.judge.url and self.has_tokenizer() else "number"

    def names_in_one_token(self, score):
        """Whether the judge names the scale's largest number with one token that comes with log-probabilities."""
        most = str(score.scale[1])
        (answer,) = self.ask_requests([new_request("first_token", f"Answer with the number {most} and nothing else.")], "judge, probe")
        top = answer["top"]
        if top and len(top) < TOP:
            print(f"judge: gives {len(top)} log-probabilities, not {TOP}; scores are computed from these", flush=True)
        return bool(top) and (answer["text"] or "").strip() == most

    def has_tokenizer(self):
        """Whether the server has vLLM's address for token ids."""
        try:
            return bool(self.token_ids(prompt="1"))
        except (openai.APIError, KeyError, TypeError, ValueError):
            return False

    def ask(self, asks, mode, label):
        """See judges.asking.Judge."""
        requests = []
        for each in asks:
            request = new_request(mode, each.score.fill(each.question, each.answer))
            choices = {"choices": each.score.choices()} if mode == "enumerated" else {}
            requests.append(request | choices | ({"copy": each.copy} if each.copy else {}))
        return self.ask_requests(requests, label)

    def ask_requests(self, requests, label):
        """The answers to requests, in order."""
        return ask_missing(self.judge, requests, self.store, self.call, openai, label)

    def call(self, request):
        """The answer to one request, see answers.read_answer."""
        with named_errors(openai, self.judge, KEY_NAME):
            if request["mode"] == "enumerated":
                return {"logs": self.read_choices(request)}
            reply = self.client.chat.completions.create(model=self.judge.model, messages=turns(request), **request["parameters"])
        check_model(self.judge, reply.model)
        choice = reply.choices[0] if reply.choices else None
        tokens = choice.logprobs.content if choice and choice.logprobs and choice.logprobs.content else []
        return {
            "text": choice.message.content if choice else None,
            "finish": "refusal" if choice and choice.message.refusal else choice.finish_reason if choice else None,
            "top": [[each.token, each.logprob] for each in tokens[0].top_logprobs] if tokens else None,
            "model": reply.model,
            "fingerprint": reply.system_fingerprint,
            "tokens": [reply.usage.prompt_tokens, reply.usage.completion_tokens] if reply.usage else None,
        }

    def read_choices(self, request):
        """{choice: log-probability of that whole answer and the end of its turn}, from vLLM's log-probabilities of prompts."""
        prompt = self.token_ids(messages=turns(request), add_generation_prompt=True)
        wholes = []
        for choice in request["choices"]:
            said = [*turns(request), {"role": "assistant", "content": choice}]
            wholes.append(self.token_ids(messages=said, add_generation_prompt=False)[len(prompt) :])
        behind = common_end(wholes) - 1  # what the template writes after the end-of-turn token
        tails = [whole[: len(whole) - behind] for whole in wholes]
        reply = self.client.completions.create(
            model=self.judge.model,
            prompt=[prompt + tail for tail in tails],
            max_tokens=1,
            temperature=0,
            extra_body={"prompt_logprobs": 0, "add_special_tokens": False},
        )
        logs = {}
        for choice, tail, each in zip(request["choices"], tails, sorted(reply.choices, key=lambda each: each.index), strict=True):
            read = each.prompt_logprobs[-len(tail) :]
            logs[choice] = sum(entry[str(token)]["logprob"] for entry, token in zip(read, tail, strict=True))
        return logs

    def token_ids(self, **body):
        """Token ids of a text or of messages, from vLLM's /tokenize."""
        root = self.judge.url.rstrip("/").removesuffix("/v1")
        reply = self.client.with_options(base_url=root).post("/tokenize", cast_to=object, body={"model": self.judge.model, **body})
        return reply["tokens"]


def new_request(mode, prompt):
    """A request without the model's name; "parameters" are the API's."""
    if mode == "first_token":
        parameters = {"temperature": 0, "max_completion_tokens": 1, "logprobs": True, "top_logprobs": TOP}
    else:
        parameters = {"temperature": 0, "max_completion_tokens": NUMBER_TOKENS}
    return {"mode": mode, "prompt": prompt, "parameters": parameters}


def turns(request):
    """The messages of a request."""
    return [{"role": "user", "content": request["prompt"]}]


def common_end(lists):
    """How many last entries all lists share."""
    shared = 0
    for entries in zip(*(reversed(each) for each in lists), strict=False):
        if len(set(entries)) > 1:
            break
        shared += 1
    return shared


def open_judge(judge, store, context):
    """The :class:`OpenAIJudge` of a config block; InputError without a key."""
    key = read_key(KEY_NAME, judge.url)
    return OpenAIJudge(judge, store, openai.OpenAI(api_key=key, base_url=judge.url, max_retries=RETRIES, timeout=TIMEOUT))
