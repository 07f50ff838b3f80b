"""Estimates for a model that resources/rates.yaml does not list, from its files or from the parameter count in its name."""

import json
import math
import re
from pathlib import Path

from persona_leakage.config.blocks.resource_files import RatesFile
from persona_leakage.config.messages import parse
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json

MAX_HEADER = 2**28  # bytes; a longer header is no safetensors file
COUNT = re.compile(r"(?<![A-Za-z\d.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z])")
UNITS = {"b": 10**9, "m": 10**6}
BYTES_PER_PARAMETER = 2  # bfloat16, as models are published


def estimate_model(model, known):
    """An entry as under models of rates.yaml for the config block ``model``, with "origin": where its number of parameters is from.

    known: {name: entry} of rates.yaml. What the model's files do not say is that of the known model with the nearest number of
    parameters, scaled. Without a number of parameters these values are None: parameters, bytes, hidden_size, lora_parameters_per_rank.
    """
    facts = folder_facts(model_folder(model))
    origin = "counted in its files" if facts else "by its name"
    parameters = facts.get("parameters") or parameters_in_name(model["location"]) or parameters_in_name(model["name"])
    texts = {"template_tokens", "tokens_per_character"}
    if not parameters:
        typical = next(iter(known.values()))
        sizes = dict.fromkeys(("parameters", "bytes", "hidden_size", "lora_parameters_per_rank"))
        return {**sizes, **{key: typical[key] for key in texts}, "replies": [], "origin": "unknown"}
    nearest = min(known.values(), key=lambda entry: abs(math.log(entry["parameters"] / parameters)))
    ratio = parameters / nearest["parameters"]
    scaled = {
        "bytes": BYTES_PER_PARAMETER * parameters,
        "hidden_size": round(nearest["hidden_size"] * ratio ** (1 / 3)),  # width and depth grow alike
        "lora_parameters_per_rank": round(nearest["lora_parameters_per_rank"] * ratio ** (2 / 3)),
        **{key: nearest[key] for key in texts},
    }
    return {**scaled, **facts, "parameters": parameters, "replies": [], "origin": origin}


def parameters_in_name(name):
    """Number of parameters in a name such as Qwen2.5-7B-Instruct, SmolLM2-135M or Mixtral-8x7B; None if it has none."""
    found = COUNT.search(name.rpartition("/")[2].replace("_", "-"))
    if not found:
        return None
    experts, count, unit = found.groups()
    return round(int(experts or 1) * float(count) * UNITS[unit.lower()])


def model_folder(model):
    """The folder with the model's files: its location if that is a path, else where the workflow has put it; None if it is not there."""
    if model["source"] == "path":
        return Path(model["location"]).expanduser()
    try:
        manifest = read_json(Path("resources/models") / model["name"] / "model.json")
    except InputError:
        return None
    same = isinstance(manifest, dict) and all(manifest.get(key) == model[key] for key in ("location", "revision"))
    return Path(str(manifest.get("folder"))) if same else None


def folder_facts(folder):
    """{parameters, bytes, hidden_size, lora_parameters_per_rank} of a model folder, as far as its files say; {} if they say nothing."""
    if folder is None:
        return {}
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = config.get("text_config") or config
        facts = {"hidden_size": config["hidden_size"], "lora_parameters_per_rank": lora_parameters(config)}
        facts["parameters"] = count_parameters(folder) or parameters_of_shape(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return {}
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return {**facts, "bytes": weights or BYTES_PER_PARAMETER * facts["parameters"]}


def count_parameters(folder):
    """Numbers in the safetensors files of a folder, by their headers; 0 without files."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as content:
            size = int.from_bytes(content.read(8), "little")
            if size > MAX_HEADER:
                raise ValueError(f"{path}: no safetensors file")
            header = json.loads(content.read(size))
        total += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total


def widths(config):
    """(hidden, inner, query, key or value) widths of a block of a config.json."""
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    return config["hidden_size"], config["intermediate_size"], heads * head, (config.get("num_key_value_heads") or heads) * head


def lora_parameters(config):
    """Rows and columns of the seven adapted matrices of every block: parameters of an adapter of rank 1."""
    hidden, inner, query, value = widths(config)
    return (2 * (hidden + query) + 2 * (hidden + value) + 3 * (hidden + inner)) * config["num_hidden_layers"]


def parameters_of_shape(config):
    """Parameters of a model of this shape, without biases and norms."""
    hidden, inner, query, value = widths(config)
    embeddings = config["vocab_size"] * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return embeddings + config["num_hidden_layers"] * hidden * (2 * query + 2 * value + 3 * inner)


DEFAULT_HARDWARE = {"vllm": "h200", "transformers": "cpu2", "auto": "cpu2"}


class Rates:
    """The rates for one hardware and one model, and which of them were used.

    A stage that was measured here (``measured``, see measured_rates) takes that rate. One that was not takes the rate in rates.yaml of
    the model with the nearest number of parameters on ``hardware``, scaled by the parameters.
    """

    def __init__(self, path, hardware, model, block=None):
        """model: a name; block: the config's model block, from which a model that rates.yaml does not list is estimated.

        InputError if rates.yaml does not list the hardware, or, without ``block``, the model.
        """
        content = read_yaml(path)
        parse(RatesFile, content, str(path))
        for kind, name in (("hardware", hardware), ("models", model)):
            if name not in content[kind] and (kind == "hardware" or block is None):
                raise InputError(f"{path}: {kind} has no entry '{name}'; it has {', '.join(content[kind])}; add one to plan with it")
        self.models, self.listed = content["models"], [rate for rate in content["rates"] if rate["hardware"] == hardware]
        self.hardware, self.name = content["hardware"][hardware], model
        self.model = content["models"].get(model) or estimate_model(block, content["models"])
        self.bytes_per_token = content["bytes_per_token"]
        self.measured, self.used = {}, {}

    def rate(self, stage):
        """(tokens per second or None, seconds before the first token) of ``stage``; None if no rate is known."""
        if stage in self.measured:
            self.used[stage] = None
            return self.measured[stage].get("tokens_per_second"), self.measured[stage]["start_seconds"]
        if stage == "options":  # no rate of reading items is listed; prompts are read alike
            return self.rate("centroids")
        candidates = [rate for rate in self.listed if rate["stage"] == stage]
        if self.model["parameters"] is None:
            candidates = [rate for rate in candidates if rate["model"] == "any"]
        if not candidates:
            return None
        nearest = min(candidates, key=lambda rate: self._distance(rate["model"]))
        self.used[stage] = nearest
        speed = nearest.get("tokens_per_second")
        return speed and speed / self._factor(nearest["model"]), nearest["start_seconds"]

    def elsewhere(self):
        """Whether a rate that was used is not of this machine."""
        return any(rate is not None for rate in self.used.values())

    def sources(self):
        """A line for each rate that was used: where and on what it was measured, and if it was scaled from another model."""
        for stage, rate in self.used.items():
            entry = rate or self.measured[stage]
            speed = f"{entry['tokens_per_second']:,.4g} tokens/s, " if "tokens_per_second" in entry else ""
            facts = f"{speed}{entry['start_seconds']:.3g} s to start"
            if rate is None:
                yield f"{stage}: measured here, {entry['jobs']} job{'s' * (entry['jobs'] > 1)}: {facts} ({entry['machine']})"
                continue
            factor = self._factor(rate["model"])
            scaled = "" if factor == 1 else f", scaled by {1 / factor:.2f} for the parameters"
            rough = " (rough)" if "origin" in self.model and factor != 1 else ""
            yield f"{stage}: rates of {self.hardware['name']}: {facts}; {rate['model']}, {rate['date']}{scaled}{rough} ({rate['note']})"

    def _factor(self, model):
        return 1 if model == "any" else self.model["parameters"] / self.models[model]["parameters"]

    def _distance(self, model):
        return max(self._factor(model), 1 / self._factor(model))
