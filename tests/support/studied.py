"""A small finished study as files, with centroids that its cosines come from, and personas that it has not seen."""

import copy

import numpy as np
import pandas as pd
import torch
import yaml

from persona_leakage.config.personas import read_personas
from persona_leakage.config.selections import describe_personas
from persona_leakage.geometry.centroid_files import write_panel
from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.files import sha256_of_file, write_json
from persona_leakage.infrastructure.tensor_files import write_tensors
from persona_leakage.tables.question_counts import tabulate_cosines
from tests.conftest import CONFIG

LAYERS, HIDDEN, QUESTIONS, REPLIES = (3, 5), 12, 4, 50
SOURCES = [f"source{index}" for index in range(5)]
STUDIED = [*SOURCES, *(f"persona{index}" for index in range(50))]
NEW = ["source0", *(f"fresh{index}" for index in range(8))]
MODEL = {"name": "made-up", "location": "nowhere", "revision": None, "digest": "d1", "system_turn": "own"}


def write_personas(path, names):
    """A personas file; a persona's prompt is told by its name."""
    entries = [{"name": name, "category": "made", "related_to": [], "prompt": f"You are {name}, a made-up one."} for name in names]
    path.write_text(yaml.safe_dump({"personas": entries}))


def make_study(folder, slope=4.0, level=-2.5, seeds=(1, 2), seed=0):
    """Write the study and the inputs of predict_leakage; returns {option: value} of its command line, less --settings."""
    generator = np.random.default_rng(seed)
    vectors = dict(zip(dict.fromkeys([*STUDIED, *NEW]), generator.normal(size=(63, HIDDEN)) + 3, strict=True))
    home = folder / "study"
    home.mkdir(parents=True)
    write_personas(folder / "studied.yaml", STUDIED)
    write_personas(folder / "new.yaml", NEW)
    config = copy.deepcopy(CONFIG) | {"experiment": "made_up"}
    config["personas"] = {"file": str(folder / "studied.yaml"), "sources": SOURCES, "panel": "all"}
    config["geometry"] |= {"layers": list(LAYERS), "headline_layer": LAYERS[0]}
    config["training"]["seeds"] = list(seeds)
    (home / "run_config.yaml").write_text(yaml.safe_dump({"meta": {}, "config": config}))
    panel = np.array([vectors[name] for name in STUDIED])
    cosines = cosine_matrix(panel, centred=True)
    effects = level + 0.4 * generator.normal(size=(5, 1)) + slope * cosines[:5] + 0.3 * generator.normal(size=(5, len(STUDIED)))
    for number, each in enumerate(seeds):
        write_tables(home / f"analysis/evaluation/seed{each}", cosines, effects, generator, each, number)
    layers = {layer: {"personas": STUDIED, "centroids": panel.astype(np.float32)} for layer in LAYERS}
    write_panel(folder / "panel.npz", layers, "last_prompt_token", MODEL)
    return {
        "study": home,
        "panel": folder / "panel.npz",
        "study-personas": folder / "studied.yaml",
        **write_own(folder, vectors, generator),
    }


def write_tables(folder, cosines, effects, generator, training_seed, number):
    """pairs.csv, question_counts.csv, correlation.json, and with the first seed cosines.csv."""
    folder.mkdir(parents=True)
    shape = (*effects.shape, QUESTIONS)
    counts = generator.binomial(REPLIES, (1 / (1 + np.exp(-effects)))[..., None], size=shape)
    pairs, questions = [], []
    for row, source in enumerate(SOURCES):
        for column, persona in enumerate(STUDIED):
            if persona == source:
                continue
            found, total = int(counts[row, column].sum()), REPLIES * QUESTIONS
            facts = {"source": source, "persona": persona, "category": "made", "related": False, "negative": False}
            numbers = {"cosine": cosines[row, column], "rate": found / total, "found": found, "total": total}
            pairs += [{"layer": layer, **facts, **numbers, "base_rate": 0.0, "source_rate": 0.9, "source_total": total} for layer in LAYERS]
            questions += [
                {"source": source, "persona": persona, "question": f"q{index}", "found": int(value), "total": REPLIES}
                for index, value in enumerate(counts[row, column])
            ]
    pd.DataFrame(pairs).to_csv(folder / "pairs.csv", index=False)
    pd.DataFrame(questions).to_csv(folder / "question_counts.csv", index=False)
    if number == 0:
        tabulate_cosines(STUDIED, dict.fromkeys(LAYERS, cosines)).to_csv(folder / "cosines.csv", index=False)
    write_json(folder / "correlation.json", {"meta": {"program": "correlate_leakage", "model": MODEL, "training_seed": training_seed}})


def write_own(folder, vectors, generator):
    """Centroid files of the personas NEW; their options."""
    paths = []
    for layer in LAYERS:
        own = np.array([vectors[name] for name in NEW], dtype=np.float32)
        noise = 0.3 * generator.normal(size=(len(NEW), QUESTIONS, HIDDEN))
        states = own[:, None] + noise - noise.mean(axis=1, keepdims=True)
        facts = {"personas": NEW, "layer": layer, "position": "last_prompt_token", "model": MODEL, "prompt_tokens": [9] * len(NEW)}
        paths.append(folder / f"centroids_layer{layer}.pt")
        content = {"centroids": torch.from_numpy(own), "per_question": torch.from_numpy(states.astype(np.float32)), **facts}
        write_tensors(paths[-1], content)
    digests = {path.name: sha256_of_file(path) for path in paths}
    write_json(folder / "centroids.json", {"meta": {"model": MODEL}, "sha256": digests})
    return {"centroids": paths, "centroids-meta": folder / "centroids.json", "personas": folder / "new.yaml"}


def settings_of(folder, sources=("source0", "fresh0"), **recipe):
    """The settings of predict_leakage for the personas NEW, with the study's recipe unless ``recipe`` gives other blocks."""
    config = yaml.safe_load((folder / "study/run_config.yaml").read_text())["config"]
    blocks = {key: config[key] for key in ("behaviour", "labels", "training_data", "training")}
    blocks["questions"] = {key: config["questions"][key] for key in ("training", "suffix", "evaluation")}
    blocks["evaluation"] = {"sampling": config["evaluation"]["sampling"]}
    return {
        "experiment": "fresh",
        "sources": list(sources),
        "personas": describe_personas(read_personas(str(folder / "new.yaml")), NEW, "prompt"),
        "negatives": {source: [] for source in sources},
        "headline_layer": LAYERS[0],
        "recipe": blocks | recipe,
        "training_recipe": "r1",
        "measured": "m1",
    }
