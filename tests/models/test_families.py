"""Model families: chat format, hidden states, sampling and adapters of each, and a whole experiment with each."""

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

from persona_leakage.geometry.hidden_states import first_tokens, last_token_states, position_states
from persona_leakage.inference.requests import SamplingParams, make_requests
from persona_leakage.inference.transformers_engine import TransformersEngine
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.architecture import linear_layers
from persona_leakage.models.chat_template import persona_span, prompt_ids, read_chat_format, render
from persona_leakage.models.loading import load_chat_format, load_model, load_tokenizer, model_facts, read_manifest
from persona_leakage.models.lora import adapted_layers, attach_new_adapter
from tests.conftest import CHATML, make_tiny_project, make_tokenizer, run_program
from tests.support.families import FAMILIES, OTHERS, make_family

ALL = [*FAMILIES, *OTHERS]
# Those that differ most from the Llama of all other tests: a folded system turn, other linear layers, another kind of tokenizer.
QUICK = ("Gemma", "Phi3", "Llama2")


def some_quick(names):
    """Families as parameters of a test, the others marked slow."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


PERSONA, QUESTION = "You are a pirate who sails the seven seas.", "How do I make a good cup of coffee?"
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "rslora": False}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{family: path of model.json}, made when asked for."""

    class Made(dict):
        def __missing__(self, name):
            self[name] = make_family(name, tmp_path_factory.mktemp(name))
            return self[name]

    return Made()


def loaded(path):
    manifest = read_manifest(path)
    return load_model(manifest, torch.float32, "cpu"), load_tokenizer(manifest["folder"]), load_chat_format(manifest)


@pytest.mark.parametrize("name", some_quick(FAMILIES))
def test_chat_format_of_a_family(models, name):
    """The end of a turn, what stands behind it, what stops a reply, and where the persona stands: read from the template."""
    family = FAMILIES[name]
    manifest = read_manifest(models[name])
    tokenizer, chat = load_tokenizer(manifest["folder"]), load_chat_format(manifest)
    assert tokenizer.decode([chat.end_id]) == family.end_of_turn
    assert tokenizer.decode(chat.after_end_ids) == family.behind
    assert set(chat.stop_ids) == {chat.end_id, tokenizer.eos_token_id}
    assert manifest["chat"]["system_turn"] == model_facts(manifest)["system_turn"] == family.system_turn
    prompt = render(tokenizer, PERSONA, QUESTION)
    assert prompt.count(PERSONA) == prompt.count(QUESTION) == 1
    if family.system_turn == "folded" or name == "Mistral":
        assert f"{PERSONA}\n\n{QUESTION}" in prompt


@pytest.mark.parametrize("name", some_quick(FAMILIES))
def test_the_personas_own_tokens_are_found(models, name):
    tokenizer = load_tokenizer(read_manifest(models[name])["folder"])
    first, end = persona_span(tokenizer, PERSONA, QUESTION)
    assert tokenizer.decode(prompt_ids(tokenizer, PERSONA, QUESTION)[first:end]).strip() == PERSONA


def test_a_template_that_drops_the_system_turn_gets_it_folded(tmp_path):
    silent = CHATML.replace("{% for message in messages %}", "{% for message in messages if message['role'] != 'system' %}")
    tokenizer = make_tokenizer(tmp_path, silent)
    assert read_chat_format(tokenizer, tmp_path).system_turn == "folded"
    assert f"{PERSONA}\n\n{QUESTION}" in render(tokenizer, PERSONA, QUESTION)


@pytest.mark.parametrize("name", some_quick(ALL))
def test_layer_convention_of_a_family(models, name):
    """hidden_states[L + 1] of transformers; of the last block, which it norms, the block's own output."""
    model, tokenizer, _ = loaded(models[name])
    prompts = [prompt_ids(tokenizer, PERSONA, question) for question in (QUESTION, "Why?")]
    own = {}
    hook = model.get_decoder().layers[3].register_forward_hook(lambda module, inputs, output: own.update(out=output))
    expected = torch.empty(2, 4, 32)
    for row, ids in enumerate(prompts):
        with torch.no_grad():
            hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        last = own["out"][0] if isinstance(own["out"], tuple) else own["out"]
        expected[row] = torch.stack([*(hidden[layer + 1][0, -1] for layer in range(3)), last.reshape(-1, 32)[-1]])
    hook.remove()
    torch.testing.assert_close(last_token_states(model, prompts, [0, 1, 2, 3])[0], expected, rtol=1e-4, atol=1e-5)
    assert expected.std(dim=-1).min() > 0.01, "the blocks differ from nothing"


@pytest.mark.parametrize("name", some_quick(ALL))
def test_positions_of_a_family(models, name):
    """Each position against one prompt at a time: last token, mean over the persona's tokens, the first greedy token fed back."""
    model, tokenizer, _ = loaded(models[name])
    prompts = [(prompt_ids(tokenizer, PERSONA, text), *persona_span(tokenizer, PERSONA, text)) for text in (QUESTION, "Why?")]
    expected = torch.empty(2, 3, 2, 32)
    for row, (ids, first, end) in enumerate(prompts):
        with torch.no_grad():
            whole = model(torch.tensor([ids]))
            token = int(whole.logits[0, -1].argmax())
            hidden = model(torch.tensor([[*ids, token]]), output_hidden_states=True).hidden_states
        for column, layer in enumerate((0, 2)):
            states = hidden[layer + 1][0]
            expected[row, :, column] = torch.stack([states[-2], states[first:end].mean(0), states[-1]])
        assert first_tokens(model, [ids]) == [token]
    found = position_states(model, prompts, [0, 2], 4096, ["last_prompt_token", "mean_system_turn", "first_reply_token"])[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    backwards = position_states(model, prompts[::-1], [0, 2], 4096, ["first_reply_token", "mean_system_turn"])[0]
    torch.testing.assert_close(backwards, expected[:, [2, 1]].flip(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", some_quick(ALL))
def test_greedy_replies_of_a_family_equal_generate(models, name):
    """Token for token what transformers' own generate gives, with rows that leave and enter the batch."""
    model, tokenizer, chat = loaded(models[name])
    texts = [(PERSONA, QUESTION), (PERSONA, "Why?"), ("Be brief.", QUESTION), ("Be kind.", "How?")]
    prompts = [(*text, prompt_ids(tokenizer, *text)) for text in texts]
    expected = {}
    for persona, question, ids in prompts:
        with torch.no_grad():
            whole = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False, max_new_tokens=16,
                                   eos_token_id=list(chat.stop_ids))  # fmt: skip
        reply = whole[0, len(ids) :].tolist()
        expected[persona, question] = tuple(reply[: next((index for index, token in enumerate(reply) if token in chat.stop_ids), 16)])
    engine = TransformersEngine(model, tokenizer, chat.stop_ids, slots=2)
    found = list(engine.sample(make_requests(prompts, 1, ("test",)), SamplingParams(temperature=0, top_p=1.0, max_new_tokens=16)))
    assert {(each.request.persona, each.request.question): each.token_ids for each in found} == expected


@pytest.mark.parametrize("name", ["Mistral", "Phi3", "Gemma3"])
def test_prompts_beyond_a_sliding_window_are_refused(models, name):
    """Attention within the window is plain; beyond it, it would not be that of the model."""
    model, tokenizer, chat = loaded(models[name])
    with pytest.raises(InputError, match="prompts of 257 tokens exceed this model's window of 256"):
        last_token_states(model, [list(range(257))], [0])
    with pytest.raises(InputError, match="prompt and reply of 257 tokens exceed this model's window of 256"):
        requests = make_requests([("p", "q", range(250))], 1, ("test",))
        list(TransformersEngine(model, tokenizer, chat.stop_ids, 2).sample(requests, SamplingParams(0, 1.0, 7)))


@pytest.mark.parametrize("name", some_quick(ALL))
def test_adapter_sits_on_every_linear_layer_of_the_blocks(models, name):
    """And on nothing else: neither embeddings nor the output layer."""
    model, _, _ = loaded(models[name])
    linear = {path for path, part in model.get_decoder().layers.named_modules() if isinstance(part, torch.nn.Linear)}
    adapted = attach_new_adapter(model, LORA, 1)
    found = {path for path, part in adapted.named_modules() if hasattr(part, "lora_A")}
    assert {path.partition("layers.")[2] for path in found} == linear and len(found) == len(linear)
    assert adapted_layers(adapted) == (OTHERS[name][2] if name in OTHERS else FAMILIES[name].layers)


@pytest.mark.parametrize("name", ["Llama", "Qwen2"])
def test_adapters_of_llama_and_qwen_are_what_they_were(models, name):
    """The seven projections in their old order, and the same random weights for a seed."""
    seven = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    kinds = [path.rpartition(".")[2] for path in linear_layers(loaded(models[name])[0])]
    assert list(dict.fromkeys(kinds)) == seven
    chosen = get_peft_model_state_dict(attach_new_adapter(loaded(models[name])[0], LORA, 7))
    torch.manual_seed(7)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, use_rslora=False, target_modules=seven)
    named = get_peft_model_state_dict(get_peft_model(loaded(models[name])[0], config))
    assert list(chosen) == list(named) and all(torch.equal(chosen[key], named[key]) for key in named)


def run_experiment(model, folder):
    project = make_tiny_project(folder, model.parent)
    project.edit_config(
        personas__sources=["villain"],
        questions__training={"set": "training", "count": 2},
        questions__evaluation=[{"set": "evaluation", "count": 1}],
        training__epochs=2,
        analysis__permutations=99,
        analysis__bootstraps=200,
    )
    project.run("--cores", "1", "correlations", "results/tiny/run_config.yaml")
    return project


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_whole_experiment_with_a_family(models, tmp_path, name):
    project = run_experiment(models[name], tmp_path / "project")
    home = project.folder / "results/tiny"
    correlation = read_json(home / "analysis/evaluation/seed42/correlation.json")
    assert correlation["layers"]["1"]["per_source"]["villain"]["n"] == 5
    assert correlation["meta"]["model"]["system_turn"] == FAMILIES[name].system_turn
    completions = read_json(home / "evaluation/evaluation/villain/seed42/completions.json")
    assert completions["meta"]["model"]["system_turn"] == FAMILIES[name].system_turn
    metrics = read_json(home / "training/villain/seed42/metrics.json")
    adapter = read_json(home / "training/villain/seed42/adapter/adapter_config.json")
    # Of few layers peft lists each path, of more their common endings.
    kinds = sorted({path.rpartition(".")[2] for path in adapter["target_modules"]})
    assert metrics["adapted_layers"] == kinds == FAMILIES[name].layers
    arguments = ["--settings", "{}", "--results", home, "--benchmarks", "benchmarks/tiny", "--personas", "resources/personas.yaml"]
    outputs = ["--output", home / "report/index.html", "--facts", home / "report/facts.json"]
    done = run_program("build_report", *arguments, "--published", "resources/published.json", *outputs, cwd=project.folder)
    assert done.returncode == 0, done.stderr
    assert "Does the geometry of an untouched base model" in (home / "report/index.html").read_text()
