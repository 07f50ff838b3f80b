"""The estimated cost of a config: tokens, hours and disk of each rule's jobs, from measured rates (resources/rates.yaml)."""

from dataclasses import dataclass

from persona_leakage.behaviours.choice_items import read_parts
from persona_leakage.config.experiment import (
    count_negatives,
    forced_draws,
    forced_questions,
    held_out_questions,
    negative_conditions,
    panel_names,
    pool_names,
)
from persona_leakage.config.judge_prompts import read_prompts
from persona_leakage.config.layers import FIRST_REPLY, declared_layers
from persona_leakage.reporting.judge_cost import JUDGING
from persona_leakage.training.row_files import read_row_file

BYTES_PER_FLOAT = 4
ADAM_STATES = 2


@dataclass(frozen=True)
class Line:
    """The jobs of one rule: how many, their tokens together (0 where tokens do not decide), hours (None: no rate), whether on a GPU."""

    rule: str
    jobs: int
    tokens: int
    hours: float | None
    gpu: bool


class Sizes:
    """How many tokens the parts of an experiment have. model: its entry in rates.yaml."""

    def __init__(self, config, personas, question_sets, model):
        self.config, self.model = config, model
        self.panel = [personas[name] for name in panel_names(config, personas)]
        self.pool = [personas[name] for name in pool_names(config)]
        self.training_questions = self._questions(question_sets, config["questions"]["training"])
        self.held_out = self._questions(question_sets, held_out_questions(config))
        self.evaluation_sets = [self._questions(question_sets, use) for use in config["questions"]["evaluation"]]
        block, data = config["behaviour"], config["training_data"]
        self.file_rows = read_row_file(data["rows"], data["clean_rows"]) if data.get("rows") else None
        self.items = read_parts(block["items"], block["train"], block["evaluate"]) if "items" in block else None  # then nothing is sampled

    def _questions(self, question_sets, use):
        return [question + self.config["questions"]["suffix"] for question in question_sets[use["set"]][: use["count"]]]

    def reply(self, sampling):
        """(mean tokens of a reply, where that is from); the limit if it is not known for this model and suffix."""
        for known in self.model["replies"]:
            if known["suffix"] == self.config["questions"]["suffix"]:
                return min(known["mean_tokens"], sampling["max_new_tokens"]), known["from"]
        return sampling["max_new_tokens"], "the limit: their mean length with this model and suffix is not known"

    def prompt(self, personas, questions):
        """Mean tokens of a prompt."""
        characters = mean(len(persona.prompt) for persona in personas) + mean(map(len, questions))
        return self.model["template_tokens"] + self.model["tokens_per_character"] * characters

    def pool_tokens(self):
        """Tokens that one pool job generates; 0 without one."""
        if self.items:
            return 0
        data = self.config["training_data"]
        draws = data["answers_per_question"] + data["extra_samples"]
        return len(self.pool) * len(self.training_questions) * draws * self.reply(data["sampling"])[0]

    def rows(self):
        """Training rows of an adapter, on average over the sources and the choices of negatives."""
        data = self.config["training_data"]
        if self.items:
            answers = len(self.items["train"])
        elif self.file_rows:
            answers = data["positives"] or len(self.file_rows)
        else:
            answers = len(self.training_questions) * data["answers_per_question"]
        sources, conditions = self.config["personas"]["sources"], negative_conditions(self.config)
        return (1 + mean(count_negatives(self.config, source, *each) for source in sources for each in conditions)) * answers

    def training_tokens(self):
        """Tokens that one training job reads in all epochs."""
        if self.items:
            row = self.prompt(self.pool, [self._shown(item) for item in self.items["train"]])
        elif self.file_rows:
            suffix = self.config["questions"]["suffix"]
            row = self.prompt(self.pool, [each.question + suffix + each.behaviour for each in self.file_rows])
        else:
            row = self.prompt(self.pool, self.training_questions) + self.reply(self.config["training_data"]["sampling"])[0]
        return self.rows() * min(row, self.config["training"]["max_length"]) * self.config["training"]["epochs"]

    def _shown(self, item):
        """The text of an item's training row: with an option, or with all of them where a letter is trained."""
        options = item.choices if self.config["behaviour"]["scoring"] == "letters" else [max(item.choices, key=len)]
        return "\n".join([item.question, *options])

    def option_tokens(self):
        """Tokens that one job reads which scores the items: questions, options after them and on their own, and questions with options."""
        items, rotated = self.items["evaluate"], self.config["behaviour"]["order"] == "rotations"
        listed = ["\n".join([item.question, *item.choices]) for item in items for _ in (item.choices if rotated else [0])]
        read = len(items) * self.prompt(self.panel, [item.question for item in items]) + len(listed) * self.prompt(self.panel, listed)
        options = sum(len(choice) for item in items for choice in item.choices) * self.model["tokens_per_character"]
        return len(self.panel) * (read + 2 * options)

    def replies(self):
        """Replies of one state (an adapter, or the base) to one question set, on average over the sets."""
        if self.items:
            return 0
        return len(self.panel) * mean(map(len, self.evaluation_sets)) * self.config["evaluation"]["samples_per_question"]

    def evaluation_tokens(self):
        """Tokens generated for one state and one question set."""
        return self.replies() * self.reply(self.config["evaluation"]["sampling"])[0]

    def judged_tokens(self):
        """Tokens that a local judge reads for one state and question set, each reply once for each prompt; 0 with another judge."""
        block = self.config["behaviour"]
        if block.get("kind") != "judged" or block["judge"]["backend"] != "local":
            return 0
        pair, prompts = block["judge"]["likelihood"], read_prompts(block["prompts"]) if block["prompts"] else {}
        shown = [*pair.values()] if pair else [prompts[name].template for name in (block["score"], *block["require"])]
        questions = [question for questions in self.evaluation_sets for question in questions]
        characters = mean(map(len, shown)) + mean(map(len, questions))
        read = self.model["template_tokens"] + self.model["tokens_per_character"] * characters
        return self.replies() * len(shown) * (read + self.reply(self.config["evaluation"]["sampling"])[0])

    def no_persona_prompts(self):
        """Prompts without a persona, as a share of the panel's: what they add to a state's replies and to the centroids."""
        return len(self.config["personas"]["no_persona_prompts"]) / len(self.panel)

    def centroid_tokens(self):
        """Prompt tokens that one centroid job reads, on average over the question sets."""
        return mean(len(self.panel) * len(questions) * self.prompt(self.panel, questions) for questions in self.evaluation_sets)

    def held_out_tokens(self):
        """Prompt tokens that the job reads which takes centroids of training questions."""
        return len(self.panel) * len(self.held_out) * self.prompt(self.panel, self.held_out)

    def divergence_tokens(self):
        """Tokens that one divergence job reads; 0 if it is off.

        A source's replies are read after every prompt, those of another persona after its own and the sources'.
        """
        block = self.config["analysis"]["divergence"]
        if not block:
            return 0
        sources = len(self.config["personas"]["sources"])
        passes = sources * len(self.panel) + (len(self.panel) - sources) * (1 + sources)
        taken = min(block["tokens"], self.reply(self.config["evaluation"]["sampling"])[0])
        read = [len(questions) * (self.prompt(self.panel, questions) + taken) for questions in self.evaluation_sets]
        return block["replies_per_question"] * passes * mean(read)

    def forced_tokens(self):
        """Tokens of prompts and replies that one teacher-forcing job reads, on average over the question sets."""
        drawn, draws = self.config["evaluation"]["samples_per_question"], forced_draws(self.config)
        questions = [question for questions in self.evaluation_sets for question in questions]
        reply = self.reply(self.config["evaluation"]["sampling"])[0]
        read = mean([forced_questions(self.config, len(texts)) / len(texts) for texts in self.evaluation_sets])
        return self.replies() * read * (draws or drawn) / drawn * (self.prompt(self.panel, questions) + reply)

    def adapter_parameters(self):
        """Trainable parameters of an adapter."""
        return self.model["lora_parameters_per_rank"] * self.config["training"]["lora"]["rank"]


def mean(values):
    """Arithmetic mean of an iterable."""
    values = list(values)
    return sum(values) / len(values)


def plan_jobs(config, jobs, sizes, rate, gpu, sampling=None):
    """[Line] for ``jobs`` {rule: number}. gpu: whether the hardware has one; there engine "auto" is vLLM.

    rate(stage): (tokens per second, seconds before the first token) of a stage, or None; rate("other") gives
    (None, seconds) of a job without a model. sampling: {rule: (jobs that sample, replies to sample, all replies)}, see
    kept_replies; of a rule that it lacks every reply is sampled. A job that finds all its replies kept loads no model.
    """
    name = config["engine"]["name"]
    sampler = "sample_vllm" if name == "vllm" or (name == "auto" and gpu) else "sample_transformers"
    stages = {
        "sample_training_pool": (sampler, sizes.pool_tokens()),
        "sample_base_completions": (sampler, sizes.evaluation_tokens()),
        "sample_completions": (sampler, sizes.evaluation_tokens()),
        **dict.fromkeys(("train_adapter", "train_snapshots"), ("train", sizes.training_tokens())),
        **dict.fromkeys(("score_base_choices", "score_choices"), ("options", sizes.option_tokens() if sizes.items else 0)),
        "extract_centroids": ("centroids", sizes.centroid_tokens()),
        "extract_training_centroids": ("centroids", sizes.held_out_tokens()),
        "measure_divergence": ("centroids", sizes.divergence_tokens()),
        "sample_base_no_persona_completions": (sampler, sizes.no_persona_prompts() * sizes.evaluation_tokens()),
        "sample_no_persona_completions": (sampler, sizes.no_persona_prompts() * sizes.evaluation_tokens()),
        "extract_no_persona_centroids": ("centroids", sizes.no_persona_prompts() * sizes.centroid_tokens()),
        "extract_adapted_centroids": ("centroids", sizes.centroid_tokens()),
        # Replies are read as prompts are.
        **dict.fromkeys(("teacher_force", "teacher_force_base", "teacher_force_snapshot"), ("centroids", sizes.forced_tokens())),
        **dict.fromkeys(JUDGING, ("centroids" if sizes.judged_tokens() else "other", sizes.judged_tokens())),
        # The first reply token is found in a pass of its own.
        "extract_sweep": ("centroids", sizes.centroid_tokens() * (1 + (FIRST_REPLY in config["geometry"]["positions"]))),
    }
    lines = []
    for rule, count in jobs.items():
        stage, tokens = stages.get(rule, ("other", 0))
        tokens *= count
        busy, missing, total = (sampling or {}).get(rule, (count, 1, 1))
        tokens *= missing / total
        seconds = seconds_of(rate(stage), busy, tokens)
        if seconds is not None and busy < count:
            seconds += seconds_of(rate("other"), count - busy, 0) or 0
        lines.append(Line(rule, count, round(tokens), seconds if seconds is None else seconds / 3600, stage != "other"))
    return lines


def seconds_of(rate, jobs, tokens):
    """Seconds of ``jobs`` jobs with this many tokens together, at a rate as plan_jobs takes it; None without a rate."""
    if rate is None:
        return None
    speed, start = rate
    return jobs * start + (tokens / speed if speed else 0)


def plan_disk(config, sizes, bytes_per_token):
    """{what: bytes} of a finished experiment. bytes_per_token: of packed replies.

    If the model's size is unknown, only the files that do not depend on it.
    """
    trained = len(config["personas"]["sources"]) * (len(negative_conditions(config)) + len(config["training_data"]["controls"]))
    adapters = trained * len(config["training"]["seeds"])
    states, sets = adapters + 1, len(sizes.evaluation_sets)
    replies = states * sets * sizes.evaluation_tokens() * (1 + sizes.no_persona_prompts()) + sizes.pool_tokens()
    row_tokens = sizes.training_tokens() / config["training"]["epochs"]
    geometries = 1 + (adapters if config["geometry"].get("adapted") else 0)
    vectors = sum(
        len(sizes.panel) * (geometries + sizes.no_persona_prompts()) * (len(questions) + 1) for questions in sizes.evaluation_sets
    )
    vectors = vectors * len(declared_layers(config["geometry"])) + len(sizes.panel) * (len(sizes.held_out) + 1)
    texts = {"replies and training rows": (2 * replies + trained * row_tokens) * bytes_per_token}
    if sizes.model["parameters"] is None:
        return texts
    return {
        "model": sizes.model["bytes"],
        "adapters": adapters * sizes.adapter_parameters() * BYTES_PER_FLOAT,
        **texts,
        "centroids": vectors * sizes.model["hidden_size"] * BYTES_PER_FLOAT,
        "checkpoint of a training job, while it runs": (1 + ADAM_STATES) * sizes.adapter_parameters() * BYTES_PER_FLOAT,
    }
