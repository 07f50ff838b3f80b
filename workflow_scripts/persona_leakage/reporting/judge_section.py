"""The report's section on the judge: states of replies, checks of the judge, cost, replies with scores to be read by people."""

import random

from persona_leakage.behaviours.kinds.judged import read
from persona_leakage.behaviours.scoring import read_completions
from persona_leakage.infrastructure.files import read_json
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.visible_text import visible_text

REPLIES = 30
MAX_TEXT = 1_500  # characters of a reply in the section


def judge_section(home, config, main):
    """What the section goes through; None unless replies were judged.

    gate, last: files with the check of the judge and with the calls and cost so far; gold: see beyond_threshold;
    paid: (judge, key in last, whether it has a price);
    states: (title, summary.json, judgements.json);
    replies: REPLIES of all states, drawn with a seed: {"state", "persona", "question", "text", "scores"}.
    """
    block = config["behaviour"]
    if block.get("kind") != "judged":
        return None
    states = [(title, file, file.replace("summary.json", "judgements.json")) for title, file in main["summaries"]]
    judged = {file: read_json(home / file) for _, _, file in states}
    found = [
        (title, record)
        for title, _, file in states
        for record in read_completions(home / file.replace("judgements.json", "completions.jsonl.gz"), block)
    ]
    generator = random.Random(derive_seed("report judge", *main["seed_parts"]))
    last = max(judged, key=lambda file: judged[file]["paid"]["calls"])
    drawn = generator.sample(found, min(REPLIES, len(found)))
    return {
        "gate": "judge/gate.json",
        "gold": beyond_threshold(read_json(home / "judge/gate.json")["gold"], block),
        "likelihood": bool(block["judge"]["likelihood"]),
        "last": last,
        "paid": [
            (name, key, judged[last][key]["cost"] is not None)
            for name, key in (("judge", "paid"), ("second judge", "second_paid"))
            if key in judged[last]
        ],
        "states": states,
        "second": block["second_judge"] is not None,
        "questions": list(read_json(home / states[0][1])["per_question"]),
        "replies": [shown(title, record) for title, record in drawn],
    }


def beyond_threshold(gold, block):
    """{"with", "without": (replies beyond the threshold, replies)} of the scored labelled replies; None if there are none.

    An AUC does not depend on the threshold, rates do.
    """
    if gold is None:
        return None
    behaviour, scored = read(block, None), [each for each in gold["answers"] if each["score"] is not None]
    parts = {
        label: [behaviour.reaches(each["score"]) for each in scored if each["label"] == (label == "with")] for label in ("with", "without")
    }
    return {label: (sum(part), len(part)) for label, part in parts.items()}


def shown(title, record):
    """A reply as the page shows it."""
    scores = record["judgement"]["scores"].items()
    listed = ", ".join(f"{name} {each['state'] if each['value'] is None else round(each['value'], 2)}" for name, each in scores)
    text = visible_text(record["text"][:MAX_TEXT])
    return {"state": title, "persona": record["persona"], "question": record["question"], "text": text, "scores": listed}
