"""The tables beside pairs.csv as the workflow writes them, and the similarities of the prompts."""

import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from persona_leakage.behaviours.preflight import check_embedding_model
from persona_leakage.config.personas import read_personas
from persona_leakage.geometry.prompt_similarity import embedding_similarities, text_similarities
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def analysis(finished_project):
    return finished_project.folder / "results/tiny/analysis/evaluation/seed42"


def test_counts_per_question_are_those_of_the_evaluation(analysis):
    table = pd.read_csv(analysis / "question_counts.csv").set_index(["source", "persona", "question"])
    assert len(table) == 2 * 5 * 2
    for source in ("villain", "comedian"):
        cells = read_json(analysis.parents[2] / f"evaluation/evaluation/{source}/seed42/marker_eval.json")["personas"]
        for persona, cell in cells.items():
            for question, counts in cell["per_question"].items():
                expected = {key: counts[key] for key in ("found", "total")}
                assert persona == source or dict(table.loc[source, persona, question]) == expected


def test_cosines_of_the_panel_are_those_of_the_centroids(analysis):
    table = pd.read_csv(analysis / "cosines.csv").set_index(["layer", "persona_a", "persona_b"])["cosine"]
    content = torch.load(analysis.parents[2] / "geometry/evaluation/base/centroids_layer3.pt", weights_only=True)
    vectors = content["centroids"].double() - content["centroids"].double().mean(dim=0)
    expected = torch.nn.functional.cosine_similarity(vectors[1], vectors[4], dim=0)
    assert table[3, content["personas"][1], content["personas"][4]] == pytest.approx(float(expected), abs=1e-9)
    assert len(table) == 2 * 15


def test_the_statistics_use_them(analysis):
    result = read_json(analysis / "correlation.json")
    assert "no counts per question" not in str(result["noise_ceiling"])
    pairs = pd.read_csv(analysis / "pairs.csv")
    assert pairs["word_similarity"].between(0, 1).all() and pairs["char_similarity"].between(0, 1).all()


def test_text_similarity_by_hand():
    """Three prompts, one word in common: TF-IDF weights 1 + ln((1 + 3) / (1 + documents with the word))."""
    found = text_similarities(["villain laughs", "villain cooks", "nurse helps"])["word_similarity"]
    common, single = 1 + math.log(4 / 3), 1 + math.log(4 / 2)
    assert found[0, 1] == pytest.approx(common**2 / (common**2 + single**2))
    assert found[0, 2] == 0
    assert np.diag(found) == pytest.approx(1)


def test_embedding_similarity_is_the_cosine_of_mean_pooled_states(tiny_model):
    """Against each text alone, without padding."""
    folder, texts = tiny_model.parent, ["You are a pirate.", "You are a villain who never laughs at all.", "Nurse."]
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    with torch.inference_mode():
        pooled = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0) for text in texts]
    found = embedding_similarities(str(folder), texts)
    for first in range(3):
        for second in range(3):
            expected = torch.nn.functional.cosine_similarity(pooled[first], pooled[second], dim=0)
            assert found[first, second] == pytest.approx(float(expected), abs=1e-5)


def test_an_embedding_model_with_other_weights_is_refused(tiny_model, tmp_path):
    """transformers would go on with random ones, others in every process."""
    folder = shutil.copytree(tiny_model.parent, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    save_file({f"_orig_mod.{name}": tensor for name, tensor in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"the weights do not fit config\.json"):
        embedding_similarities(str(folder), ["a text"])
    save_file({**weights, "model.norm.weight": torch.full((32,), float("nan"))}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="embeddings are not finite"):
        embedding_similarities(str(folder), ["a text"])


def test_an_embedding_model_without_a_tokenizer_is_refused_before_any_job(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model.parent, tmp_path / "model")
    check_embedding_model(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="has no tokenizer"):
        check_embedding_model(folder)


def test_relatives_are_worded_alike():
    """On the shipped personas: a source and its variants share words; char_similarity sees spelling as well."""
    personas = read_personas(ROOT / "resources/personas.yaml")
    names = list(personas)
    for matrix in text_similarities([persona.prompt for persona in personas.values()]).values():
        related = [matrix[names.index(name), names.index(other)] for name in names for other in personas[name].related_to]
        others = matrix[~np.eye(len(names), dtype=bool)]
        assert np.mean(related) > 1.4 * others.mean()
