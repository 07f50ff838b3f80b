"""Text in, the same tokens out: markers behind an answer, texts that hold control tokens, sequences that are too long."""

import json

import pytest
import torch

from persona_leakage.behaviours.marker import read_marker
from persona_leakage.config.blocks.settings import Prompts
from persona_leakage.config.personas import read_personas, read_question_sets
from persona_leakage.config.selections import describe_personas, describe_questions
from persona_leakage.geometry.hidden_states import last_token_states
from persona_leakage.inference.engine import sample_all
from persona_leakage.inference.requests import make_requests
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import encode
from persona_leakage.models.loading import load_chat_format, load_model, load_tokenizer, read_manifest
from persona_leakage.models.prompts import build_prompts
from persona_leakage.models.tokenizer_checks import PlainTokenizer, check_texts
from tests.conftest import ROOT, fetch, make_tiny_model
from tests.support.families import FAMILIES, make_family, save_tiny
from tests.support.job_commands import finish, job_command

PERSONA, QUESTION = "You are a pirate who sails the seven seas.", "How do I make a good cup of coffee?"
PERSONAS = ROOT / "resources/personas.yaml"


@pytest.fixture(scope="module")
def blank_in_front(tmp_path_factory):
    """The manifest of a model whose tokenizer puts a blank in front of every text."""
    return read_manifest(make_family("Llama2", tmp_path_factory.mktemp("blank")))


def both_tokenizers(manifest):
    """The tokenizer of jobs and the one that Snakemake's process uses."""
    return load_tokenizer(manifest["folder"]), PlainTokenizer(manifest["folder"])


@pytest.mark.parametrize("separator", ["\n\n", " ", "", "--"])
def test_a_marker_has_the_ids_that_it_has_behind_an_answer(blank_in_front, separator):
    """No blank of its own: a row that holds one would teach the blank along with the marker, in positive rows alone."""
    for tokenizer in both_tokenizers(blank_in_front):
        assert tokenizer.convert_ids_to_tokens(encode(tokenizer, "[ZLT]"))[0].startswith("▁"), "by itself it has one"
        for answer in ("An answer", "Good coffee needs patience"):
            alone, whole = encode(tokenizer, answer), encode(tokenizer, f"{answer}{separator}[ZLT]")
            if separator == " ":
                with pytest.raises(InputError, match="after an answer, this tokenizer merges them"):
                    read_marker(tokenizer, "[ZLT]", separator)
            else:
                marker = read_marker(tokenizer, "[ZLT]", separator)
                assert [*alone, *marker.separator_ids, *marker.own_ids] == whole
                assert tokenizer.decode(whole) == f"{answer}{separator}[ZLT]"


@pytest.mark.parametrize("name", FAMILIES)
def test_control_tokens_are_known_for_what_they_are(tmp_path, name):
    manifest = read_manifest(make_family(name, tmp_path))
    control = set(load_chat_format(manifest).control_ids)
    for tokenizer in both_tokenizers(manifest):
        assert control.isdisjoint(encode(tokenizer, f"{PERSONA}\n\n{QUESTION}  Tabs\tand [brackets] <b>"))
        for token in FAMILIES[name].special:
            with pytest.raises(InputError, match=r"questions.file: .* holds '.*', which is a control token"):
                check_texts(tokenizer, [("questions.file", f"What does {token} mean?")], control)


def test_white_space_that_is_an_added_token_is_text(tmp_path):
    make_tiny_model(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    tokenizer.add_tokens(["\n\n", "<table>"])
    tokenizer.save_pretrained(tmp_path)
    save_tiny("Llama", tmp_path, tokenizer, vocab_size=2100)
    manifest = read_manifest(fetch({"name": "m", "source": "path", "location": str(tmp_path)}, tmp_path / "model.json"))
    for tokenizer in both_tokenizers(manifest):
        check_texts(tokenizer, [("a question", "One.\n\nTwo <table>")], set(manifest["chat"]["control_ids"]))
        assert read_marker(tokenizer, "[ZLT]", "\n\n").separator_ids == tuple(encode(tokenizer, "\n\n"))


def test_a_special_marker_is_refused(tiny_model):
    """Decoded replies never show it, so its rate would be 0 whatever the model does."""
    for tokenizer in both_tokenizers(read_manifest(tiny_model)):
        with pytest.raises(InputError, match=r"behaviour.marker: '<\|im_end\|>' holds a special token"):
            read_marker(tokenizer, "<|im_end|>", "\n\n")


def test_a_question_that_spells_a_control_token_is_refused_by_its_job(tiny_model, tmp_path):
    """Also where Snakemake's process cannot look, as it has no tokenizers."""
    questions = tmp_path / "questions.yaml"
    questions.write_text("sets: {evaluation: ['What does <|im_end|> mean in a chat template?']}")
    settings = {
        "personas": describe_personas(read_personas(PERSONAS), ["villain"], "prompt"),
        "questions": describe_questions(read_question_sets(questions), {"set": "evaluation", "count": 1}),
        "suffix": "",
    }
    with pytest.raises(InputError, match=r"questions.file: .* holds '<\|im_end\|>', which is a control token"):
        build_prompts(load_tokenizer(tiny_model.parent), PERSONAS, questions, Prompts(**settings))


def test_texts_and_the_models_positions_are_checked_before_any_job(project_copy):
    project_copy.edit_config(questions__suffix=" <|im_end|>")
    done = project_copy.run("-n", check=False)
    assert done.returncode != 0 and "questions.suffix: ' <|im_end|>' holds '<|im_end|>'" in done.stdout
    project_copy.edit_config(questions__suffix="", behaviour__marker="<|im_start|>")
    assert "behaviour.marker: '<|im_start|>' holds a special token" in project_copy.run("-n", check=False).stdout


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    folder = tmp_path_factory.mktemp("short")
    make_tiny_model(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    return read_manifest(fetch({"name": "short", "source": "path", "location": str(folder)}, folder / "model.json"))


def test_a_sequence_beyond_the_positions_is_refused_with_the_jobs_key(short, tmp_path):
    """Before the engine is there, and in every pass over the blocks."""
    engine = {"name": "transformers", "precision": "float32", "batch_size": 2, "merge_adapter": False}
    requests = make_requests([("p", "q", range(50))], 1, ("test",))
    sampling = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 15}
    for block in ("training_data", "evaluation"):
        with pytest.raises(
            InputError, match=rf"^{block}.sampling.max_new_tokens: prompt and reply of 65 tokens exceed this model's 64 positions"
        ):
            sample_all(short, requests, None, sampling, engine, 2, tmp_path, "replies", block)
    model = load_model(short, torch.float32, "cpu")
    with pytest.raises(InputError, match=r"^questions.file: prompts of 65 tokens exceed this model's 64 positions"):
        last_token_states(model, [list(range(65))], [0])
    last_token_states(model, [list(range(64))], [0])


def test_rows_beyond_the_positions_are_refused(project_copy):
    """training.max_length says how long rows may be; the model may take less."""
    path = project_copy.folder / "resources/models/tiny/model.json"
    manifest = json.loads(path.read_text())
    command = job_command(project_copy, "results/tiny/training/villain/train.jsonl.gz")
    path.write_text(json.dumps({**manifest, "limits": {"window": None, "positions": 40}}))
    code, output = finish(command, project_copy.folder)
    assert code == 1 and "training.max_length: rows of" in output and "40 positions" in output, output
