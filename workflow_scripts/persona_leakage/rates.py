"""Rates of the stages: measured on this machine where jobs have run, else those of resources/rates.yaml; and what is known of models."""

from persona_leakage.errors import InputError
from persona_leakage.model_size import estimate_model
from persona_leakage.personas import RESOURCE_SCHEMAS, read_yaml
from persona_leakage.schema import check_schema

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
        check_schema(content, RESOURCE_SCHEMAS / "rates.schema.yaml", str(path))
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
