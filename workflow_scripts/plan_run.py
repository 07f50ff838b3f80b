"""Print what a config's run costs (jobs, tokens, hours, disk) without running it."""

import argparse

from tabulate import tabulate

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.reporting.judge_cost import judge_cost
from persona_leakage.reporting.kept_replies import sum_up
from persona_leakage.reporting.plan import STORE, make_plan
from persona_leakage.statistics.prediction.power import Design, describe_design, read_guesses


def main(argv=None):
    """Print the plan of the jobs that would run now (--all: of all jobs), and where each figure comes from."""
    parser = argparse.ArgumentParser(prog="plan_run", description=__doc__)
    parser.add_argument("--config", default="config.yaml", metavar="PATH", help="the experiment's config (default: %(default)s)")
    parser.add_argument(
        "--hardware",
        help="plan with the rates of this entry of resources/rates.yaml alone (default: what this machine's jobs took, "
        "and where none has run those of h200 with engine.name: vllm, else of cpu2)",
    )
    parser.add_argument("--all", action="store_true", help="plan every job, also those whose results are there")
    args = parser.parse_args(argv)
    plan = make_plan(args.config, args.hardware, args.all)
    print(f"{plan.config['experiment']}: {plan.config['model']['name']}\n")
    if not plan.lines:
        print(kept_sentence(plan) if plan.kept else "nothing to be done")
        return
    print_plan(plan)


def print_plan(plan):
    """The table of jobs, its sums, the replies, the disk, and the sources of the figures."""
    config, sizes, rates, lines = plan.config, plan.sizes, plan.rates, plan.lines
    rows = [[line.rule, line.jobs, f"{line.tokens:,}" if line.tokens else "", hours(line.hours)] for line in lines]
    print(tabulate(rows, ["rule", "jobs", "tokens", "hours"], colalign=("left", "right", "right", "right"), disable_numparse=True))
    generated = sum(line.tokens for line in lines if line.rule.startswith("sample"))
    trained = sum(line.tokens for line in lines if line.rule == "train_adapter")
    print(f"\ntokens generated: {generated:,}   tokens trained on: {trained:,}")
    if plan.sampling:
        missing, kept = sum_up(plan.sampling)
        print(f"replies: about {missing:,} to sample; {kept:,} are kept" if kept else f"replies: {missing:,} to sample")
    if plan.kept:
        print(kept_sentence(plan))
    if calls := judge_cost(config, sizes, {line.rule: line.jobs for line in lines}):
        print(calls)
    if all(line.hours is not None for line in lines):
        total, on_gpu = (sum(line.hours for line in lines if line.gpu or every) for every in (True, False))
        if rates.hardware["gpu"]:
            print(f"GPU-hours: {on_gpu:.2f}   hours of all jobs one after the other: {total:.2f}")
        else:
            at_once = rates.hardware["jobs_at_once"]
            print(f"hours of all jobs: {total:.2f}   of the run, {at_once} jobs at once: {total / at_once:.2f}")
    else:
        print("hours: no rate is known for the rules that show ?")
    print(
        "disk: " + ", ".join(f"{what} {size(amount)}" for what, amount in plan.disk.items()) + f"; together {size(sum(plan.disk.values()))}"
    )
    print(expected_sentence(config, len(sizes.panel)))
    if not sizes.items:
        print("\nlength of a reply: {:g} tokens ({})".format(*sizes.reply(config["evaluation"]["sampling"])))
    print_model(config["model"], rates.model)
    if rates.elsewhere():
        print(f"The rates below of {rates.hardware['name']} are not of your machine. Jobs that have run here replace them, stage by stage.")
    for source in rates.sources():
        print(f"rates: {source}")


def expected_sentence(config, panel):
    """What the experiment can be expected to show, with the variance components of resources/power.yaml."""
    sources, questions = len(config["personas"]["sources"]), config["questions"]["evaluation"][0]["count"]
    if sources < 2 or panel < 6:
        return "\nexpected correlation: needs at least 2 sources and 5 bystanders"
    replies, seeds = config["evaluation"]["samples_per_question"], len(config["training"]["seeds"])
    found = describe_design(read_guesses(), Design(panel - 1, sources, questions, replies, seeds))
    kind = "mean" if found["mean_interval"] else "new_source"
    what = "the mean correlation of sources like these" if kind == "mean" else "a new source's correlation"
    low, high = found[f"{kind}_interval"]
    power = f"above 0 with a chance of {100 * found[f'{kind}_power']:.0f} %"
    return f"\nexpected 95 % interval of {what}: [{low:.2f}, {high:.2f}], {power} (make power; resources/power.yaml)"


def kept_sentence(plan):
    """How many jobs only restore kept outputs."""
    return f"jobs whose outputs come back from {STORE}/: {len(plan.kept)}"


def print_model(block, entry):
    """Print the basis of the estimate for a model that resources/rates.yaml does not list."""
    name = block["name"]
    if "origin" in entry and entry["parameters"] is None:
        print(f"model: the size of {name} is not known: its files are not here, and its name holds no number of parameters such as 7B.")
        print("Hours that depend on it are shown as ?. Fetch the model first, or add it under models in resources/rates.yaml.")
    elif "origin" in entry:
        print(f"model: {name} has {entry['parameters'] / 1e9:,.3g} billion parameters, {entry['origin']}; hours scaled from it are rough")


def hours(value):
    """Hours as text, "?" if unknown."""
    return "?" if value is None else f"{value:.3f}"


def size(amount):
    """Bytes as text."""
    return f"{amount / 1e9:.2f} GB" if amount >= 1e9 else f"{amount / 1e6:.1f} MB"


if __name__ == "__main__":
    run_program(main)
