"""What judging replies will cost, before anything runs."""

from persona_leakage.config.blocks.behaviours.judged import PAID
from persona_leakage.config.judge_prompts import read_prompts

CHARACTERS_PER_TOKEN = 4  # where the judge's tokenizer is unknown
ANSWER_TOKENS = 2
JUDGING = ("judge_replies", "judge_base_replies")


def judge_cost(config, sizes, jobs):
    """A line with calls, input tokens and money of the jobs {rule: number} that judge replies; None without paid ones.

    sizes: cost_plan.Sizes. Calls are an upper bound: equal replies share one, and answers of earlier runs cost nothing.
    """
    block, states = config["behaviour"], sum(jobs.get(rule, 0) for rule in JUDGING)
    if block.get("kind") != "judged" or not states or block["judge"]["backend"] not in PAID:
        return None
    prompts, judge = read_prompts(block["prompts"]), block["judge"]
    templates = [len(prompts[name].template) for name in (block["score"], *block["require"])]
    questions = [question for texts in sizes.evaluation_sets for question in texts]
    characters = sum(map(len, questions)) / len(questions) + sum(templates) / len(templates)
    calls = states * sizes.replies() * len(templates) * (1 + judge["repeat_share"])
    tokens = calls * (characters / CHARACTERS_PER_TOKEN + sizes.reply(config["evaluation"]["sampling"])[0])
    line = f"judge: at most {calls:,.0f} calls to {judge['model']}, about {tokens:,.0f} input tokens"
    if judge["price"]:
        cost = (tokens * judge["price"]["input"] + ANSWER_TOKENS * calls * judge["price"]["output"]) / 1e6
        line += f", {cost / 2 if judge['batch'] else cost:,.2f} at the prices of the config"
    return f"{line}; the second judge and the labelled replies are not counted" if block["second_judge"] else line
