"""Propose negatives for an experiment's sources: every candidate's cosine to the source, and which of them each choice takes."""

import pandas as pd
from pydantic import Field
from tabulate import tabulate

from persona_leakage.config.blocks.fields import Block, Names, Seed
from persona_leakage.config.program_options import new_parser
from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.geometry.negatives import choose_by_closeness, closeness_of
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, check_digests, read_json
from persona_leakage.training.dataset import choose_negatives

CHOICES = ("hash", "nearest", "farthest", "spread")
BETTER = "contains better"


class Settings(Block):
    """The parts of the config that decide the proposal. counts: negatives of each source. questions: how many the centroids are of."""

    counts: dict[str, int]
    pool: Names
    seed: Seed
    questions: int = Field(ge=1)
    model: str


def main(argv=None):
    """Write the table as CSV, and as text with its inputs."""
    parser = new_parser("propose_negatives", __doc__, "centroids", "centroids-meta", "output", "text", settings=Settings)
    parser.add_argument("--evidence", metavar="PATH", help="containment.json of a finished study of choices")
    args = parser.parse_args(argv)
    settings = args.settings
    check_digests([args.centroids], args.centroids_meta)
    content = read_centroids(args.centroids)
    proposed, because = proposal(read_json(args.evidence, "compare_containment") if args.evidence else None)
    rows = [row for source, count in settings.counts.items() for row in rows_of(content, settings, source, count, proposed)]
    with atomic_path(args.output) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")
    lines = [
        tabulate([[mark(value) for value in row.values()] for row in rows], headers=list(rows[0]), disable_numparse=True),
        "",
        f"Cosines: base model {settings.model}, output of block {content['layer']}, centroids of {settings.questions} training questions,"
        " centred on the panel.",
        *because,
        "Use a choice with training_data.negative_choice; names of your own with negative_choice: list and negative_lists.",
    ]
    with atomic_path(args.text) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows_of(content, settings, source, count, proposed):
    """A row for each candidate of a source, the nearest first: its cosine, and for each choice whether it is taken."""
    candidates = sorted({*settings.pool} - {source})
    cosines = closeness_of(content["personas"], content["centroids"], [source, *candidates])
    taken = {"hash": choose_negatives(source, settings.pool, count, settings.seed)}
    taken |= {choice: choose_by_closeness(choice, source, candidates, count, cosines) for choice in CHOICES if choice != "hash"}
    for name in sorted(candidates, key=lambda name: -cosines[0, 1 + candidates.index(name)]):
        yield {
            "source": source,
            "candidate": name,
            "cosine": round(float(cosines[0, 1 + candidates.index(name)]), 3),
            **{choice: name in taken[choice] for choice in CHOICES},
            "proposed": name in taken[proposed],
        }


def proposal(evidence):
    """(choice, lines that say what it rests on): the choice that a study found to contain best, else the hash."""
    if evidence is None:
        return "hash", ["Proposed: hash. No study of choices is kept, so there is no evidence for another one."]
    found = {name.split()[0]: block for name, block in evidence["comparisons"].items() if name.endswith(" less hash")}
    better = {choice: block["relative_leakage"]["difference"] for choice, block in found.items() if block["answer"] == BETTER}
    best = min(better, key=better.get, default="hash")
    why = "it contains best" if best in better else "no other choice is shown to contain better"
    lines = [f"Proposed: {best}, because {why} in a study of {', '.join(evidence['sources'])} (docs/results/containment.md):"]
    for choice, block in found.items():
        first = block["relative_leakage"]
        low, high = first["interval"] or (float("nan"), float("nan"))
        change = "" if first["undefined"] else f" ({first['difference']:+.3f} [{low:+.3f}, {high:+.3f}] of the source's rate)"
        lines.append(f"- {choice} less hash: {block['answer']}{change}")
    conditions = {name: block["mean"]["leakage"] for name, block in evidence["per_condition"].items() if name.startswith("hash")}
    numbers = sorted((len(evidence["trained"][name][evidence["sources"][0]]["negatives"]), share) for name, share in conditions.items())
    shares = ", ".join(f"{100 * share:.1f} % with {number}" for number, share in numbers)
    return best, [*lines, f"Leakage there by number of negatives: {shares}. Each negative adds training rows and steps."]


def mark(value):
    """A cell of the printed table."""
    return {True: "x", False: ""}.get(value, value) if isinstance(value, bool) else value


if __name__ == "__main__":
    run_program(main)
