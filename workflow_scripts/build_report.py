"""Build the report: one HTML page with the verdict, tables, figures, an explorer of all personas and their replies."""

from datetime import UTC, datetime
from pathlib import Path

from persona_leakage.config.blocks.fields import Block
from persona_leakage.config.blocks.settings import PersonaSelection
from persona_leakage.config.personas import read_personas, read_yaml
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, read_json, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.reporting.explorer import TEXT_BUDGET
from persona_leakage.reporting.replies import affordable
from persona_leakage.reporting.report import collect_set, render_report, summarise_jobs


class Settings(Block):
    """The personas that the report shows; their digest makes it stale."""

    personas: PersonaSelection | None = None


def describe_experiment(home, config, sets):
    """The size of the experiment, and the day (UTC) on which its newest replies or scores were finished."""
    pairs = sets[0]["pairs"]
    newest = max((home / file).stat().st_mtime for each in sets for file in each["summary_of"].values())
    return {
        "model": config["model"]["name"],
        "sources": len(config["personas"]["sources"]),
        "personas": len({*pairs["persona"], *pairs["source"]}),
        "replies_each": int(pairs["total"].max()),
        "date": datetime.fromtimestamp(newest, UTC).date().isoformat(),
    }


def main(argv=None):
    """Write index.html, and facts.json with the numbers that no other file has."""
    parser = new_parser("build_report", __doc__, "results", "benchmarks", "personas", "published", "output", "facts", settings=Settings)
    args = parser.parse_args(argv)
    home = Path(args.results)
    run_config = read_yaml(home / "run_config.yaml")
    config = run_config["config"]
    sources = config["personas"]["sources"]
    sets = [
        collect_set(home, use["set"], seed, sources) for use in config["questions"]["evaluation"] for seed in config["training"]["seeds"]
    ]
    published = read_json(args.published)
    comparable = config["behaviour"].get("kind", "marker") == published["behaviour"] and set(sources) & set(published["per_source"])
    training = read_json(home / f"training/{sources[0]}/seed{config['training']['seeds'][0]}/metrics.json")["meta"]
    facts = {
        "meta": describe_run("build_report"),
        "run": describe_experiment(home, config, sets),
        "published": published if comparable else None,
        "explorer": {"replies_per_cell": affordable([cells for each in sets for cells in each["replies"].values()], TEXT_BUDGET)},
        "jobs": summarise_jobs(args.benchmarks, has_gpu="gpu" in training["hardware"]),
        "provenance": {
            "code_commit": training["code_commit"],
            "model": training["model"],
            "packages": training["packages"],
            "hardware": training["hardware"],
            "seeds": {
                "root": config["seed"],
                "training": config["training"]["seeds"],
                "sampling": config["evaluation"]["sampling_seed"],
            },
        },
    }
    write_json(args.facts, facts)
    page = render_report(home, run_config, sets, read_personas(args.personas), facts)
    with atomic_path(args.output) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="strict")


if __name__ == "__main__":
    run_program(main)
