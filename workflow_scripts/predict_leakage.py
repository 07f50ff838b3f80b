"""Predict before training which personas will show a source's behaviour: ranking, and leakage calibrated on a finished study."""

import pandas as pd
from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Names, Text
from persona_leakage.config.blocks.settings import ChosenNegatives, PersonaSelection
from persona_leakage.config.finished_study import model_identity
from persona_leakage.config.personas import read_personas
from persona_leakage.config.program_options import new_parser
from persona_leakage.config.selections import chosen_personas
from persona_leakage.geometry.centroid_files import read_centroids, read_panel
from persona_leakage.geometry.negatives import choose_from_file
from persona_leakage.geometry.prompt_similarity import text_similarities
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, check_digests, read_json, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.leakage.held_out_prediction import LEAKS
from persona_leakage.statistics.prediction.coverage import describe_coverage
from persona_leakage.statistics.prediction.frozen import PROGRAM, seal
from persona_leakage.statistics.prediction.predictions import (
    calibrate,
    check_panel,
    make_geometry,
    predict_source,
    same_prompts,
    stability,
    what_would_change,
    why_ranking_only,
)
from persona_leakage.statistics.prediction.study import read_study


class Settings(Block):
    """The parts of the config that decide the predictions. study: digests of its files, which make the predictions stale.

    negatives: of each source; with ``chosen`` the candidates that closeness chooses them from.
    trained: sources that already have an adapter, so their predictions are too late.
    """

    experiment: Text
    sources: Names
    personas: PersonaSelection
    negatives: dict[str, list[str]]
    chosen: ChosenNegatives | None = None
    headline_layer: int
    recipe: dict
    training_recipe: Text
    measured: Text
    study: dict[str, str] = Field({})
    trained: list[str] = Field([])


def main(argv=None):
    """Write predictions.csv, and predictions.json with digests of all inputs."""
    optional = ("choice-centroids", "choice-centroids-meta")
    parser = new_parser(PROGRAM, __doc__, "study", "panel", "centroids-meta", "table", "output", optional=optional, settings=Settings)
    for option in ("--personas", "--study-personas"):
        parser.add_argument(option, required=True, help="personas file, or a JSON text with added personas")
    parser.add_argument("--centroids", nargs="+", required=True, metavar="PATH", help="centroid files, one per layer")
    args = parser.parse_args(argv)
    settings, study = args.settings, read_study(args.study)
    model = read_json(args.centroids_meta)["meta"]["model"]
    check_digests(args.centroids, args.centroids_meta)
    own = {content["layer"]: content for content in (read_centroids(path, "per_question", "prompt_tokens") for path in args.centroids)}
    panel, facts = read_panel(args.panel)
    check_panel(study, panel, settings.headline_layer, facts, model, args.panel)
    personas = chosen_personas(args.personas, settings.personas.model_dump())
    studied = same_prompts(study, personas, read_personas(args.study_personas))
    similarities = text_similarities([persona.prompt for persona in personas])
    geometry = make_geometry(own, panel, settings.headline_layer, study.personas, similarities, studied)
    problem = why_ranking_only(study, settings.recipe, model)
    tables, sources = [], {}
    for source in settings.sources:
        fitted, facts = calibrate(study, studied.get(source), problem)
        tables.append(predict_source(study, fitted, geometry, source, negatives_of(args, source)))
        steady = stability(geometry, source)
        sources[source] = {**facts, "stability": steady, "would_change": what_would_change(study, tables[-1], facts, steady)}
        print(f"{source}: {facts['because']}")
    with atomic_path(args.table) as temporary:
        pd.concat(tables).to_csv(temporary, index=False, lineterminator="\n")
    inputs = {
        "study": {"folder": study.folder, "files": study.files},
        "panel": sha256_of_file(args.panel),
        "model": model_identity(model),
        "prompts": settings.personas.digest,
        "training recipe": settings.training_recipe,
        "behaviour, questions and sampling": settings.measured,
    }
    content = {
        "meta": describe_run(PROGRAM, experiment=settings.experiment, layer=settings.headline_layer),
        "threshold": LEAKS,
        "replies": study.replies,
        "inputs": inputs,
        "ranking_only": problem,
        "trained_before": settings.trained,
        "sources": sources,
        "coverage": describe_coverage(study),
    }
    write_json(args.output, seal(content, args.table))
    print(f"written: {args.output}, {args.table}")


def negatives_of(args, source):
    """Names of a source's negatives, chosen as its training will choose them."""
    candidates, wanted = args.settings.negatives[source], args.settings.chosen
    if wanted is None:
        return candidates
    files = (args.choice_centroids, args.choice_centroids_meta)
    return [*choose_from_file(*files, wanted.choice, source, candidates, wanted.count)[0]]


if __name__ == "__main__":
    run_program(main)
