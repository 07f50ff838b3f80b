"""Predict which personas catch a behaviour from a source, before training: ranking, and leakage calibrated on a finished study."""

import numpy as np
import pandas as pd
from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Names, Text
from persona_leakage.config.blocks.settings import PersonaSelection
from persona_leakage.config.finished_study import recipe_differences
from persona_leakage.config.personas import read_personas
from persona_leakage.config.program_options import new_parser
from persona_leakage.config.selections import chosen_personas
from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.geometry.prompt_similarity import text_similarities
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, check_digests, read_json, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.leakage.held_out_prediction import LEAKS
from persona_leakage.statistics.prediction.coverage import describe_coverage
from persona_leakage.statistics.prediction.frozen import PROGRAM, seal
from persona_leakage.statistics.prediction.predictions import (
    Geometry,
    calibrate,
    check_panel,
    cosines_between,
    predict_source,
    stability,
    what_would_change,
)
from persona_leakage.statistics.prediction.study import read_study


class Settings(Block):
    """The parts of the config that decide the predictions. study: digests of its files, which make the predictions stale."""

    experiment: Text
    sources: Names
    personas: PersonaSelection
    negatives: dict[str, list[str]]
    headline_layer: int
    recipe: dict
    training_recipe: Text
    study: dict[str, str] = Field({})


def main(argv=None):
    """Write predictions.csv, and predictions.json with digests of everything that they came from."""
    parser = new_parser(PROGRAM, __doc__, "study", "centroids-meta", "panel-meta", "table", "output", settings=Settings)
    for option in ("--personas", "--study-personas"):
        parser.add_argument(option, required=True, help="personas file, or a JSON text with added personas")
    for option in ("--centroids", "--panel-centroids"):
        parser.add_argument(option, nargs="+", required=True, metavar="PATH", help="centroid files, one per layer")
    args = parser.parse_args(argv)
    settings, study = args.settings, read_study(args.study)
    own, panel = read_layers(args.centroids, args.centroids_meta), read_layers(args.panel_centroids, args.panel_meta)
    model = read_json(args.centroids_meta)["meta"]["model"]
    problem = why_ranking_only(study, settings, model)
    check_panel(study, panel[settings.headline_layer], model)
    personas = chosen_personas(args.personas, settings.personas.model_dump())
    geometry = make_geometry(own, panel, settings.headline_layer, study, personas, read_personas(args.study_personas))
    tables, sources = [], {}
    for source in settings.sources:
        fitted, facts = calibrate(study, geometry.studied.get(source), problem)
        tables.append(predict_source(study, fitted, geometry, source, settings.negatives[source]))
        steady = stability(geometry, source)
        sources[source] = {**facts, "stability": steady, "would_change": what_would_change(study, tables[-1], facts, steady)}
        print(f"{source}: {facts['because']}")
    with atomic_path(args.table) as temporary:
        pd.concat(tables).to_csv(temporary, index=False, lineterminator="\n")
    content = {
        "meta": describe_run(PROGRAM, experiment=settings.experiment, layer=settings.headline_layer),
        "threshold": LEAKS,
        "replies": study.replies,
        "inputs": {
            "study": {"folder": study.folder, "files": study.files},
            "model": model["digest"],
            "prompts": settings.personas.digest,
            "training recipe": settings.training_recipe,
        },
        "ranking_only": problem,
        "sources": sources,
        "coverage": describe_coverage(study),
    }
    write_json(args.output, seal(content, args.table))
    print(f"written: {args.output}, {args.table}")


def read_layers(paths, meta):
    """{layer: content} of centroid files, each compared with its digest."""
    check_digests(paths, meta)
    contents = [read_centroids(path, "per_question", "prompt_tokens") for path in paths]
    return {content["layer"]: content for content in contents}


def why_ranking_only(study, settings, model):
    """Why only a ranking can be given, or None: the study's own problem, another model, another recipe."""
    if model["digest"] != study.model.get("digest"):
        theirs, ours = (f"{each.get('name')}, digest {str(each.get('digest'))[:8]}" for each in (study.model, model))
        return f"the study is of another model ({theirs}; here {ours})"
    differences = recipe_differences(study.config, settings.recipe)
    return f"the study has another recipe: {'; '.join(differences)}" if differences else study.problem


def make_geometry(own, panel, headline, study, personas, studied):
    """The Geometry of the personas at the headline layer; others: of the other layers, and of each half of the questions."""
    by_prompt = {persona.prompt: name for name, persona in studied.items() if name in study.personas}

    def cosines(content, reference):
        return cosines_between(content, content, np.asarray(reference, dtype=np.float64).mean(axis=0))

    centroids, reference = own[headline]["centroids"], panel[headline]["centroids"]
    others = {f"block {layer}": cosines(own[layer]["centroids"], panel[layer]["centroids"]) for layer in own if layer != headline}
    questions = [content["per_question"].numpy() for content in (own[headline], panel[headline])]
    for half in (0, 1) if questions[0].shape[1] > 1 else ():
        others[f"half {half + 1} of the questions"] = cosines(*(states[:, half::2].mean(axis=1) for states in questions))
    order = [panel[headline]["personas"].index(name) for name in study.personas]
    return Geometry(
        personas=own[headline]["personas"],
        own=cosines(centroids, reference),
        raw=cosines_between(centroids, centroids, 0.0),
        panel=cosines_between(centroids, reference[order], np.asarray(reference, dtype=np.float64).mean(axis=0)),
        others=others,
        similarities=text_similarities([persona.prompt for persona in personas]),
        prompt_tokens=own[headline]["prompt_tokens"],
        studied={persona.name: by_prompt[persona.prompt] for persona in personas if persona.prompt in by_prompt},
    )


if __name__ == "__main__":
    run_program(main)
