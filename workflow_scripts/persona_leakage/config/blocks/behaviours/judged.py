"""A trait of replies that a language model judges, as a behaviour."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from persona_leakage.config.blocks.fields import Block, Count, Line, Name, Number, Written, refuse
from persona_leakage.config.judge_prompts import check_scores, read_gold, read_prompts
from persona_leakage.infrastructure.cli import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MODES = {
    "openai": ("auto", "first_token", "enumerated", "number"),
    "anthropic": ("auto", "number"),
    "local": ("auto", "enumerated"),
    "file": ("auto",),
}
PAID = ("openai", "anthropic")
Share = Annotated[float, Field(ge=0, le=1)]


class Price(Block):
    """Price of a judge's tokens, per million."""

    input: Annotated[float, Field(ge=0)] = Field(description="Judge: price per million input tokens.")
    output: Annotated[float, Field(ge=0)] = Field(description="Judge: price per million output tokens.")


class Likelihood(Block):
    """Two system prompts whose log-probabilities of a reply are compared."""

    shown: Written = Field(description="Local judge: system prompt under which replies that show the behaviour are likely.")
    not_shown: Written = Field(description="Local judge: system prompt under which the other replies are likely.")


class Judge(Block):
    """The model that gives replies a score, and how it is asked."""

    backend: Literal["openai", "anthropic", "local", "file"] = Field(
        description="Judge: an API (openai: any compatible server), a local model, or a file of scores."
    )
    model: Line | None = Field(
        None, description="Judge: name of the model; local: its folder (null: the experiment's model); file: path of the scores."
    )
    url: Line | None = Field(None, description="Judge: address of the API, such as http://127.0.0.1:8000/v1 for vLLM.")
    scoring: Literal["auto", "first_token", "enumerated", "number"] = Field(
        "auto", description="Judge: how a score is read; auto takes the best mode that the judge supports."
    )
    likelihood: Likelihood | None = Field(None, description="Local judge: compares two system prompts and asks nothing.")
    batch: bool = Field(False, description="Judge: Message Batches (anthropic): half the price, within a day.")
    parallel: Annotated[int, Field(ge=1, le=256)] = Field(16, description="Judge: calls at once.")
    max_calls: Count = Field(200_000, description="Judge: its maximum calls; a job that needs more fails before its first.")
    price: Price | None = Field(None, description="Judge: price per million tokens; null: no estimate in money.")
    repeat_share: Share = Field(0.02, description="Judge: share of replies judged twice, to measure noise.")

    @model_validator(mode="after")
    def check_backend(self):
        """Keys that the backend needs, and those that it cannot use."""
        backend = self.backend
        if self.model is None and backend != "local":
            refuse("model", f"missing; the backend '{backend}' needs it")
        if self.scoring not in MODES[backend]:
            refuse("scoring", f"'{self.scoring}' is impossible with the backend '{backend}'; use one of {', '.join(MODES[backend])}")
        for key, backends in {"url": PAID, "price": PAID, "likelihood": ("local",)}.items():
            if getattr(self, key) is not None and backend not in backends:
                refuse(key, f"is for the backends {', '.join(backends)}, but backend is '{backend}'; leave it out")
        if self.batch and backend != "anthropic":
            refuse("batch", f"true needs the backend 'anthropic', but backend is '{backend}'; use false")
        if self.scoring == "enumerated" and backend == "openai" and not self.url:
            refuse("url", "missing; scoring 'enumerated' needs a vLLM server of your own")
        return self

    @model_validator(mode="after")
    def check_url(self):
        """An address without credentials; without encryption only on this machine."""
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                refuse("url", f"{self.url!r} is not an address; it must begin with http:// or https:// and a host")
            if parts.username or parts.password or parts.query:
                refuse("url", "must hold no user, password or query; give the key in the environment")
            if parts.scheme == "http" and parts.hostname not in LOOPBACK:
                refuse("url", f"{self.url!r} would send the key unencrypted; use https, or a server on this machine")
        return self


class Settings(Block):
    """The adapter learns a trait that a model judges."""

    row_keys: ClassVar = ("kind",)
    losses: ClassVar = ("tail", "completion")
    needs_rows: ClassVar = True

    kind: Literal["judged"] = Field(description="Replies judged by a model.")
    name: Name = Field(description="Judged: name of the behaviour in the report.")
    score: Name = Field(description="Judged: the score that decides, a name in behaviour.prompts.")
    threshold: Number = Field(description="Judged: a reply shows the behaviour beyond this score (strict).")
    measure: Literal["share", "mean"] = Field(
        "share",
        description="Judged: leakage is the change of the share beyond the threshold, or of the mean score.",
    )
    direction: Literal["high", "low"] = Field(
        "low", description="Judged: the behaviour is a score above (high) or below (low) the threshold."
    )
    require: dict[Name, Number] = Field({}, description="Judged: other scores that must be above a number, such as {coherent: 50}.")
    prompts: Line | None = Field(None, description="Judged: file of the judge's prompts.")
    judge: Judge = Field(description="The model that judges.")
    second_judge: Judge | None = Field(
        None,
        description="Judged: another judge for a share of the replies, with the keys of judge.",
        json_schema_extra={"same_as": "judge"},
    )
    second_share: Share = Field(0.1, description="Judged: share of replies that the second judge sees.")
    gold: Line | None = Field(None, description="Judged: labelled replies on which the judge is checked first; null: no check.")
    min_auc: Annotated[float, Field(ge=0.5, le=1)] = Field(0.8, description="Judged: smallest AUC on the labelled replies.")

    @model_validator(mode="after")
    def check_prompts(self):
        """Every judge but a file needs prompts."""
        if self.prompts is None and any(
            judge and judge.backend != "file" and not judge.likelihood for judge in (self.judge, self.second_judge)
        ):
            refuse("prompts", "missing; this judge is asked, so give a file such as resources/judges/alignment.yaml")
        if self.judge.likelihood and self.require:
            refuse("require", "cannot be used with judge.likelihood, which gives one score; leave it out")
        if self.judge.likelihood and self.direction == "low":
            refuse("direction", "must be high with judge.likelihood, whose score is higher the more a reply shows the behaviour")
        return self

    def problems(self, texts):
        """Files that are missing or wrong, and scores that the prompts lack."""
        for key, judge in (("judge", self.judge), ("second_judge", self.second_judge)):
            needed = {"file": judge.model, "local": f"{judge.model}/config.json"}.get(judge.backend) if judge and judge.model else None
            if needed and not Path(needed).expanduser().is_file():
                yield f"behaviour.{key}.model: {needed}: no such file; give a file of scores (file) or the folder of a model (local)"
        try:
            if self.prompts:
                check_scores(read_prompts(self.prompts), self.prompts, self.score, self.threshold, self.require)
        except InputError as error:
            yield f"behaviour: {error}"
        try:
            if self.gold:
                read_gold(self.gold)
        except InputError as error:
            yield f"behaviour.gold: {error}"
