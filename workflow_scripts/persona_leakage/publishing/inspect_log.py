"""Sampled replies as a log of Inspect AI, for `inspect view` and whatever else reads its .eval files."""

from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalMetric, EvalResults, EvalSample, EvalScore, EvalSpec, EvalStats
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, ModelOutput
from inspect_ai.scorer import CORRECT, INCORRECT, Score

STOP = {"stop": "stop", "length": "max_tokens"}
SCORER = "behaviour"


def make_log(records, behaviour, personas, suffix, meta, created, task):
    """An EvalLog with a sample for each completion record; the score is whether the reply shows the behaviour.

    records: of completions.jsonl.gz; behaviour: behaviours.base.Behaviour; personas: {name: Persona}; meta: of completions.json;
    created: ISO time with zone; task: its name. A draw's index becomes the epoch.
    """
    model = f"{meta['model']['name']}/{meta['state']}"
    questions = list(dict.fromkeys(record["question"] for record in records))
    samples = [make_sample(record, behaviour, personas[record["persona"]], questions, suffix, meta, model) for record in records]
    ids = list(dict.fromkeys(sample.id for sample in samples))
    rate = sum(sample.scores[SCORER].value == CORRECT for sample in samples) / len(samples)
    spec = EvalSpec(
        created=created,
        task=task,
        dataset=EvalDataset(name=task, samples=len(ids), sample_ids=ids),
        model=model,
        config=EvalConfig(epochs=max(sample.epoch for sample in samples)),
        packages={name: version for name, version in meta["packages"].items() if name != "python"},
        metadata={key: meta[key] for key in ("sampling", "seed", "sampling_seed", "adapter_sha256", "code_commit") if key in meta},
    )
    score = EvalScore(name=SCORER, scorer=SCORER, metrics={"rate": EvalMetric(name="rate", value=rate)}, scored_samples=len(samples))
    results = EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=[score])
    return EvalLog(status="success", eval=spec, results=results, stats=EvalStats(started_at=created, completed_at=created), samples=samples)


def make_sample(record, behaviour, persona, questions, suffix, meta, model):
    """One reply: system prompt, question, reply, score."""
    prompt = [ChatMessageSystem(content=persona.prompt), ChatMessageUser(content=record["question"] + suffix)]
    output = ModelOutput.from_content(model, record["text"], stop_reason=STOP[record["finish_reason"]])
    return EvalSample(
        id=f"{persona.name}/{questions.index(record['question']) + 1}",
        epoch=record["index"] + 1,
        input=prompt,
        target=behaviour.noun,
        messages=[*prompt, ChatMessageAssistant(content=record["text"], model=model)],
        output=output,
        scores={SCORER: Score(value=CORRECT if behaviour.shows(record) else INCORRECT, answer=record["text"][-40:])},
        metadata={
            "persona": persona.name,
            "category": persona.category,
            "seed": record["seed"],
            "tokens": len(record["token_ids"]),
        },
    )
