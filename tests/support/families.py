"""Tiny random models of several families, each with a chat template that behaves as its family's does."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, trainers

from tests.conftest import CHATML, ROOT, fetch, make_tokenizer

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
    architecture: str = ""
    blank_in_front: bool = False


CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
FAMILIES = {
    "Qwen2": Family(CHATML, CHATML_TOKENS, "<|im_end|>", "\n", SEVEN),
    "Qwen3": Family(THINKING, CHATML_TOKENS, "<|im_end|>", "\n", SEVEN, config={"head_dim": 8}),
    "Llama": Family(
        HEADERS, ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"), "<|eot_id|>", "", SEVEN
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
    "Llama2": Family(
        "{{ bos_token }}" + BARS,
        ("<s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "</s>"),
        "<|end|>",
        "\n</s>",
        SEVEN,
        architecture="Llama",
        blank_in_front=True,
    ),
}
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


TINY = {"vocab_size": 2000, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "initializer_range": 0.2}  # fmt: skip


def make_family(name, folder):
    """Save a tiny random model of a family, with its tokenizer, into ``folder``; returns the path of its model.json."""
    family, config, _ = OTHERS.get(name) or (FAMILIES[name], FAMILIES[name].config, None)
    make = make_blank_in_front if family.blank_in_front else make_tokenizer
    save_tiny(family.architecture or name, folder, make(folder, family.template, family.special, family.special[-1]), **config)
    return fetch_folder(folder)


def save_tiny(name, folder, tokenizer, kind="ForCausalLM", **config):
    """Save a tiny random model of a class of transformers, such as Llama, whose first and last tokens are a tokenizer's."""
    torch.manual_seed(0)
    of_text = "TextConfig" if name == "Gemma3" else "Config"
    ends = {"bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.eos_token_id}
    settings = getattr(transformers, name + of_text)(**{**TINY, **ends, **config})
    getattr(transformers, name + kind)(settings).save_pretrained(folder)


def fetch_folder(folder):
    """The path of a model.json made for a model folder."""
    return fetch({"name": "tiny", "source": "path", "location": str(folder), "revision": ""}, folder / "model.json")


def make_qwen():
    """The tokenizer of Qwen2.5 with its real vocabulary, and its template for conversations with a system turn; skips without the file."""
    vocabulary = Path(sys.prefix) / "share/qwen/dashscope/resources/qwen.tiktoken"
    if not vocabulary.is_file():
        pytest.skip(f"needs Qwen's vocabulary, {vocabulary}: envs/development.post-deploy.sh brings it")
    from transformers.convert_slow_tokenizer import TikTokenConverter

    words = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    converter = TikTokenConverter(
        vocab_file=str(vocabulary),
        pattern=rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|{words}",
        extra_special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )
    bpe = converter.converted()
    bpe.normalizer = normalizers.NFC()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHATML
    return fast


def make_seeing(folder):
    """Save a tiny random Gemma 3 that also sees: its vision tower has layers of the same names as its text decoder."""
    tokenizer = make_tokenizer(folder, HEADERS, FAMILIES["Llama"].special, "<|end_of_text|>")
    ends = {"bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.eos_token_id}
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    images = {"mm_tokens_per_image": 4, "image_token_index": 1999, "boi_token_index": 1998, "eoi_token_index": 1997}
    text = {**TINY, **ends, **OTHERS["Gemma3"][1]}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, **images)
    torch.manual_seed(0)
    transformers.Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    return fetch_folder(folder)


def make_blank_in_front(folder, template, special, end):
    """As make_tokenizer, one that puts a blank in front of every text, as sentencepiece's do: Llama 2, Mistral 0.1, Phi 3."""
    special = ["<unk>", *special]
    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    bpe.decoder = decoders.Sequence(steps)
    every_byte = [f"<0x{byte:02X}>" for byte in range(256)]
    # Word by word, or whole lines would become tokens.
    words = [f"▁{word}" for name in ("personas", "questions") for word in (ROOT / f"resources/{name}.yaml").read_text().split()]
    normalizer, bpe.normalizer = bpe.normalizer, normalizers.Sequence([])
    bpe.train_from_iterator(words, trainers.BpeTrainer(vocab_size=1500, special_tokens=[*special, *every_byte], show_progress=False))
    bpe.normalizer = normalizer
    content = json.loads(bpe.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in special]
    bpe = Tokenizer.from_str(json.dumps(content))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=special[1], eos_token=end, pad_token=end)
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast
