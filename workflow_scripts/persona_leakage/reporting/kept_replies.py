"""An estimate, without loading a model, of the replies that sampling jobs will find kept from earlier.

A reply counts as kept if one of the same persona, question and draw is in finished results whose records agree with the config on
model, adapter, sampling, engine, seeds and question suffix, unless the job runs because its code changed. What the records do not
hold is not compared: the text of a prompt.
"""

from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from persona_leakage.config.experiment import panel_names, pool_names, read_config
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz

CODE = "workflow_scripts/"
SHARED_STORE = Path("results/.kept/replies")


def replies_to_sample(config, personas, question_sets, jobs):
    """{rule: (jobs that sample, replies to sample, all replies)} of the sampling jobs among ``jobs`` (PlannedJob)."""
    trained = {(job.wildcards.get("source"), job.wildcards.get("seed")) for job in jobs if job.rule == "train_adapter"}
    found = {}
    for job in jobs:
        if not job.rule.startswith("sample_"):
            continue
        missing = total = 0
        for output in (Path(path) for path in job.outputs if path.endswith(".jsonl.gz")):
            cells = wanted_cells(config, personas, question_sets, output)
            state = state_of(output)
            anew = tuple(state.split("/seed")) in trained or CODE in job.reason
            total += len(cells)
            missing += len(cells) if anew else len(cells - kept_cells(config, output, state))
        before = found.get(job.rule, (0, 0, 0))
        found[job.rule] = (before[0] + (missing > 0), before[1] + missing, before[2] + total)
    return found


def state_of(output):
    """The state of a file of replies: "base", "source/seed{seed}", or "" of the training pool."""
    return "" if output.name.startswith("pool") else "/".join(output.parts[4:-1])


def wanted_cells(config, personas, question_sets, output):
    """{(persona, question, draw)} of a file of replies."""
    if not state_of(output):
        data, use = config["training_data"], config["questions"]["training"]
        names, draws = pool_names(config), data["answers_per_question"] + data["extra_samples"]
    else:
        (use,) = (use for use in config["questions"]["evaluation"] if use["set"] == output.parts[3])
        names = config["personas"]["no_persona_prompts"] if output.parts[2] == "no_persona_prompts" else panel_names(config, personas)
        draws = config["evaluation"]["samples_per_question"]
    questions = question_sets[use["set"]][: use["count"]]
    return {(name, question, draw) for name in names for question in questions for draw in range(draws)}


def kept_cells(config, output, state):
    """{(persona, question, draw)} of finished replies of this state that the store of replies still holds, of all experiments."""
    own = Path(*output.parts[:2])
    homes = {own, *(path.parent for path in Path("results").glob("*/run_config.yaml"))} if has_parts(SHARED_STORE) else {own}
    cells = set()
    for home in sorted(homes):
        if not has_parts(SHARED_STORE) and not has_parts(home / "restart"):
            continue
        name = "training/pool.json" if not state else f"{output.parts[2]}/*/{state}/completions.json"
        for meta in home.glob(name):
            try:
                if agrees(config, meta, home, state):
                    records = read_jsonl_gz(meta.with_suffix(".jsonl.gz"))
                    cells |= {(record["persona"], record["question"], record["index"]) for record in records}
            except (InputError, KeyError, TypeError, AttributeError, OSError):
                continue  # files of another version, or damaged: the jobs decide, this is an estimate
    return cells


def has_parts(folder):
    """Whether a store holds replies."""
    return next(folder.rglob("*.jsonl.gz"), None) is not None


def agrees(config, meta_path, home, state):
    """Whether the recorded replies are those that the config asks for, the personas' and questions' texts apart."""
    meta = read_json(meta_path)["meta"]
    block = config["evaluation" if state else "training_data"]["sampling"]
    wanted = {"sampling": block, "seed": config["seed"]}
    if state:
        wanted["sampling_seed"] = config["evaluation"]["sampling_seed"]
    if state not in ("", "base"):
        adapter = Path("results") / config["experiment"] / "training" / state / "metrics.json"
        wanted["adapter_sha256"] = read_json(adapter)["adapter_sha256"]
    model = read_json(Path("resources/models") / config["model"]["name"] / "model.json")
    return (
        all(meta[key] == value for key, value in wanted.items())
        and meta["model"]["digest"] == model["digest"]
        and same_engine(config["engine"], meta["engine"], adapted=state not in ("", "base"))
        and read_config(home / "run_config.yaml")["config"]["questions"]["suffix"] == config["questions"]["suffix"]
    )


def same_engine(block, recorded, adapted):
    """Whether an engine on record is one that the config block may mean, with the packages that are installed here, if they are."""
    chosen = all(block[key] in ("auto", recorded[key]) for key in ("name", "precision"))
    merged = not adapted or recorded.get("merge_adapter", block["merge_adapter"]) == block["merge_adapter"]
    return chosen and merged and all(installed(package) in (None, number) for package, number in recorded["packages"].items())


def installed(package):
    """Version of an installed package, None without."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def sum_up(found):
    """(replies to sample, replies kept) over all rules of replies_to_sample."""
    totals = Counter()
    for _, missing, total in found.values():
        totals.update(missing=missing, kept=total - missing)
    return totals["missing"], totals["kept"]
