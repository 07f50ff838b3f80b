"""Tiny random models of six families, each with a chat template that behaves as its family's does."""

from dataclasses import dataclass, field

import torch
import transformers

from tests.conftest import CHATML, fetch, make_tokenizer

# Like ChatML, but without the thinking mode switched off the generation prompt lacks what stands in front of every answer.
THINKING = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{{ message.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n{{ message.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# The system text goes into the last user turn, and nowhere once the assistant has spoken.
INSTRUCTIONS = (
    "{{ bos_token }}{% set last = messages[-1] %}{% for message in messages %}"
    "{% if message.role == 'user' %}[INST] "
    "{% if message == last and messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}{{ message.content }}[/INST]"
    "{% elif message.role == 'assistant' %} {{ message.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
BARS = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
SEVEN = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


@dataclass(frozen=True)
class Family:
    """template, special tokens (first and last: of a text) and end of turn; what stands behind that; the layers an adapter sits on."""

    template: str
    special: tuple
    end_of_turn: str
    behind: str
    layers: list
    system_turn: str = "own"
    config: dict = field(default_factory=dict)


CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
FAMILIES = {
    "Qwen2": Family(CHATML, CHATML_TOKENS, "<|im_end|>", "\n", SEVEN),
    "Qwen3": Family(THINKING, CHATML_TOKENS, "<|im_end|>", "\n", SEVEN, config={"head_dim": 8}),
    "Llama": Family(
        HEADERS,
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"),
        "<|eot_id|>",
        "",
        SEVEN,
    ),
    "Gemma": Family(
        NO_SYSTEM,
        ("<bos>", "<start_of_turn>", "<end_of_turn>", "<eos>"),
        "<end_of_turn>",
        "\n",
        SEVEN,
        system_turn="folded",
        config={"head_dim": 8},
    ),
    "Mistral": Family(INSTRUCTIONS, ("<s>", "[INST]", "[/INST]", "</s>"), "</s>", "", SEVEN, config={"sliding_window": 256}),
    "Phi3": Family(
        BARS,
        ("<s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
        "<|end|>",
        "\n<|endoftext|>",
        ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"],
        config={"sliding_window": 256},
    ),
}
BOTH_WINDOWS = ["sliding_attention", "full_attention"] * 2
# Built otherwise than the six: attention beside the feed-forward part, biases everywhere, an output layer with a bias;
# other norms and angles in every second block.
OTHERS = {
    "Phi": (FAMILIES["Phi3"], {}, ["dense", "fc1", "fc2", "k_proj", "q_proj", "v_proj"]),
    "Gemma3": (
        FAMILIES["Llama"],
        {"head_dim": 8, "sliding_window": 256, "layer_types": ["sliding_attention", "full_attention"] * 2},
        SEVEN,
    ),
}


def make_family(name, folder):
    """Save a tiny random model of a family, with its tokenizer, into ``folder``; returns the path of its model.json."""
    family, config, _ = OTHERS.get(name) or (FAMILIES[name], FAMILIES[name].config, None)
    tokenizer = make_tokenizer(folder, family.template, family.special, family.special[-1])
    torch.manual_seed(0)
    of_text = "TextConfig" if name == "Gemma3" else "Config"
    settings = getattr(transformers, name + of_text)(
        vocab_size=2000,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        initializer_range=0.2,
        **config,
    )
    getattr(transformers, f"{name}ForCausalLM")(settings).save_pretrained(folder)
    return fetch({"name": "tiny", "source": "path", "location": str(folder), "revision": ""}, folder / "model.json")
