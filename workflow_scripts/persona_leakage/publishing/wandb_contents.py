"""What a run on Weights & Biases holds: of an adapter, its training curve and rates; of the experiment, its control and statistics."""

from dataclasses import dataclass, field
from pathlib import Path

from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.files import read_json

SUMMARY_FIGURES = (
    "source_rate",
    "mean_bystander_rate",
    "max_bystander_rate",
    "max_bystander",
    "bystanders_above_source",
    "n_replies",
    "mean_tokens",
    "short_share",
    "cut_share",
)


@dataclass(frozen=True)
class RunContents:
    """A run before it has an id.

    name: of the run and, with the experiment in front, of its artifact; config, summary: nested dicts of plain values;
    history: one dict of figures per step, from step 0 on.
    """

    name: str
    job_type: str
    config: dict
    summary: dict
    history: list = field(default_factory=list)


def adapter_contents(home, source, seed, question_sets):
    """The run of one adapter: the recipe as config, loss and learning rate of each step as history, rates as summary."""
    metrics = read_json(Path(home) / f"training/{source}/seed{seed}/metrics.json")
    rates = {
        questions: pick_figures(read_json(Path(home) / f"evaluation/{questions}/{source}/seed{seed}/summary.json"))
        for questions in question_sets
    }
    steps = zip(metrics["loss"], metrics["learning_rate"], strict=True)
    return RunContents(
        name=f"{source}-seed{seed}",
        job_type="adapter",
        config={
            "source": source,
            "training_seed": seed,
            "training": metrics["settings"],
            "precision": metrics["precision"],
            "model": metrics["meta"]["model"],
            "packages": metrics["meta"]["packages"],
            "code_commit": metrics["meta"]["code_commit"],
        },
        summary={"evaluation": rates, "train_seconds": metrics["train_seconds"], "adapter_sha256": metrics["adapter_sha256"]},
        history=[{"train/loss": loss, "train/learning_rate": rate} for loss, rate in steps],
    )


def experiment_contents(home, seeds, question_sets):
    """The run of the whole experiment: its config, the control's rates and each source's correlation at the headline layer."""
    summary = {}
    for questions in question_sets:
        base = read_json(Path(home) / f"evaluation/{questions}/base/summary.json")
        summary[questions] = {"base": pick_figures(base)}
        for seed in seeds:
            correlation = read_json(Path(home) / f"analysis/{questions}/seed{seed}/correlation.json")
            block = correlation["layers"][str(correlation["headline_layer"])]["per_source"]
            summary[questions][f"seed{seed}"] = {
                source: {key: found[key] for key in ("spearman_rho", "spearman_p", "n") if found.get(key) is not None}
                for source, found in block.items()
            }
    run_config = read_yaml(Path(home) / "run_config.yaml")
    config = {**run_config["config"], "packages": run_config["meta"]["packages"], "code_commit": run_config["meta"]["code_commit"]}
    return RunContents(name="experiment", job_type="experiment", config=config, summary=summary)


def pick_figures(summary):
    """The figures of a summary.json that a run shows; those that are undefined are left out."""
    return {key: summary[key] for key in SUMMARY_FIGURES if summary[key] is not None}
