"""Measured rates of the stages, and what is known of models before they are there (resources/rates.yaml)."""

from persona_leakage.errors import InputError
from persona_leakage.personas import RESOURCE_SCHEMAS, read_yaml
from persona_leakage.schema import check_schema

DEFAULT_HARDWARE = {"vllm": "h200", "transformers": "cpu2", "auto": "cpu2"}


class Rates:
    """The entries of rates.yaml for one hardware and one model, and which of them were used.

    A stage that was not measured with this model takes the rate of the model with the nearest number of
    parameters on the same hardware, scaled by the parameters.
    """

    def __init__(self, path, hardware, model):
        content = read_yaml(path)
        check_schema(content, RESOURCE_SCHEMAS / "rates.schema.yaml", str(path))
        for kind, name in (("hardware", hardware), ("models", model)):
            if name not in content[kind]:
                raise InputError(f"{path}: {kind} has no entry '{name}'; it has {', '.join(content[kind])}; add one to plan with it")
        self.models, self.measured = content["models"], [rate for rate in content["rates"] if rate["hardware"] == hardware]
        self.hardware, self.name, self.model = content["hardware"][hardware], model, content["models"][model]
        self.bytes_per_token = content["bytes_per_token"]
        self.used = {}

    def rate(self, stage):
        """(tokens per second or None, seconds before the first token) of ``stage``; None if it was never measured on this hardware."""
        candidates = [rate for rate in self.measured if rate["stage"] == stage]
        if not candidates:
            return None
        nearest = min(candidates, key=lambda rate: self._distance(rate["model"]))
        self.used[stage] = nearest
        speed = nearest.get("tokens_per_second")
        return speed and speed / self._factor(nearest["model"]), nearest["start_seconds"]

    def sources(self):
        """A line for each rate that was used: what was measured, and if it was scaled from another model."""
        for stage, rate in self.used.items():
            speed = f"{rate['tokens_per_second']:,} tokens/s, " if "tokens_per_second" in rate else ""
            scaled = "" if self._factor(rate["model"]) == 1 else f", scaled by {1 / self._factor(rate['model']):.2f} for the parameters"
            yield f"{stage}: {speed}{rate['start_seconds']:g} s to start; {rate['model']}, {rate['date']}{scaled} ({rate['note']})"

    def _factor(self, model):
        return 1 if model == "any" else self.model["parameters"] / self.models[model]["parameters"]

    def _distance(self, model):
        return max(self._factor(model), 1 / self._factor(model))
