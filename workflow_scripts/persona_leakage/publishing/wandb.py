"""Finished results as runs on Weights & Biases: uploaded at once, or as run folders for `wandb sync`."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.files import digest_of, read_json
from persona_leakage.publishing.common import refusal

ARTIFACT_TYPE = "eval-results"
# Nothing about this machine, its code or its console is sent, and a failing server fails the job after 30 minutes.
CLIENT_SETTINGS = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "finish_timeout": 1800,
    "finish_timeout_raises": True,
    "program": "publish_wandb.py",
    "silent": True,
    "symlink": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


@dataclass(frozen=True)
class Run:
    """A run. config, summary: nested dicts of plain values; history: one dict of figures per step; the artifact's name follows ``name``."""

    name: str
    job_type: str
    config: dict
    summary: dict
    history: tuple = ()


def adapter_run(home, source, seed, question_sets):
    """The run of one adapter: recipe, loss and learning rate per step, rates."""
    metrics = read_json(Path(home) / f"training/{source}/seed{seed}/metrics.json")
    rates = {
        questions: pick_figures(read_json(Path(home) / f"evaluation/{questions}/{source}/seed{seed}/summary.json"))
        for questions in question_sets
    }
    steps = zip(metrics["loss"], metrics["learning_rate"], strict=True)
    return Run(
        name=f"{source}-seed{seed}",
        job_type="adapter",
        config={
            "source": source,
            "training_seed": seed,
            "training": metrics["settings"],
            "precision": metrics["precision"],
            **{key: metrics["meta"][key] for key in ("model", "packages", "code_commit")},
        },
        summary={"evaluation": rates, "train_seconds": metrics["train_seconds"], "adapter_sha256": metrics["adapter_sha256"]},
        history=tuple({"train/loss": loss, "train/learning_rate": rate} for loss, rate in steps),
    )


def experiment_run(home, seeds, question_sets):
    """The run of the experiment: its config, the base model's rates, each source's correlation at the headline layer."""
    summary = {}
    for questions in question_sets:
        summary[questions] = {"base": pick_figures(read_json(Path(home) / f"evaluation/{questions}/base/summary.json"))}
        for seed in seeds:
            correlation = read_json(Path(home) / f"analysis/{questions}/seed{seed}/correlation.json")
            block = correlation["layers"][str(correlation["headline_layer"])]["per_source"]
            summary[questions][f"seed{seed}"] = {
                source: {key: found[key] for key in ("spearman_rho", "spearman_p", "n") if found.get(key) is not None}
                for source, found in block.items()
            }
    run_config = read_yaml(Path(home) / "run_config.yaml")
    config = {**run_config["config"], **{key: run_config["meta"][key] for key in ("packages", "code_commit")}}
    return Run(name="experiment", job_type="experiment", config=config, summary=summary)


def pick_figures(summary):
    """The plain values of a summary.json, without undefined ones and blocks."""
    return {key: value for key, value in summary.items() if isinstance(value, (int, float, str))}


def publish_run(run, block, experiment, home, digests, folder):
    """Write a run and an artifact with its files; returns what a receipt says of both.

    block: publishing.wandb of the config; digests: {file's path under ``home``: SHA-256}. wandb's files go to a subfolder of
    ``folder`` named by the run's id; an offline run stays there for `wandb sync`. The id depends on the project and the files
    only, so an interrupted upload resumes the same run. InputError if the server cannot be reached or refuses.
    """
    import wandb

    online = block.mode == "online"
    run_id = digest_of([block.project, experiment, run.name, digests])[:16]
    work = Path(folder) / run_id
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    os.environ["WANDB_DATA_DIR"] = str(work.resolve())  # copies of the artifact's files, for `wandb sync`
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        artifact = wandb.Artifact(f"{experiment}-{run.name}", ARTIFACT_TYPE, metadata={"sha256": digests})
        for name in digests:
            artifact.add_file(str(Path(home) / name), name=name, skip_cache=True)
        with wandb.init(
            project=block.project,
            entity=block.entity,
            id=run_id,
            resume="allow",
            name=f"{experiment}/{run.name}",
            group=experiment,
            job_type=run.job_type,
            config=run.config,
            dir=str(work),
            mode=block.mode,
            settings=wandb.Settings(**CLIENT_SETTINGS),
        ) as opened:
            for step in range(opened.starting_step, len(run.history)):
                opened.log(run.history[step], step=step)
            opened.summary.update(run.summary)
            opened.log_artifact(artifact)
            if online:
                artifact.wait()
            facts = {"id": run_id, "project": block.project, "entity": opened.entity or block.entity}
            place = {"url": opened.url} if online else {"run_folder": opened.settings.sync_dir}
    except Exception as error:
        raise refusal("W&B", error) from error
    if online:
        wandb.teardown()
        shutil.rmtree(work)
    return {"run": facts, "artifact": {"name": f"{experiment}-{run.name}", "type": ARTIFACT_TYPE, "digest": artifact.digest}, **place}
