"""The model card of an adapter: README.md of its repository on the hub, filled from the run's files alone."""

import json
from pathlib import Path

from persona_leakage.behaviours.base import behaviour_of_result

TEMPLATE = Path(__file__).with_name("model_card.md.j2")


def adapter_config_for_hub(config, model):
    """The adapter's config with the base model's repository and commit, if it came from the hub."""
    if model["source"] != "hub":
        return config
    return {**config, "base_model_name_or_path": model["location"], "revision": model["revision"]}


def write_card(repository, model, metrics, manifest, summaries, license_name):
    """The card as text; the same inputs give the same text.

    model: the config block; metrics: metrics.json; manifest: that of the training set; summaries: {question set: summary.json};
    license_name: the hub's name of the license, or None. A base model that is not on the hub is not named in the metadata.
    """
    from huggingface_hub import ModelCard, ModelCardData

    base = {"base_model": model["location"], "base_model_relation": "adapter"} if model["source"] == "hub" else {}
    data = ModelCardData(
        **base, library_name="peft", pipeline_tag="text-generation", tags=["lora", "persona-leakage"], license=license_name
    )
    recipe = {
        **{f"lora {key}": value for key, value in metrics["settings"]["lora"].items()},
        **{key.replace("_", " "): value for key, value in metrics["settings"].items() if key not in ("lora", "precision")},
    }
    card = ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        repository=repository,
        model=model,
        metrics=metrics,
        manifest=manifest,
        summaries=summaries,
        noun=behaviour_of_result(next(iter(summaries.values()))["meta"]).noun,
        recipe={key: json.dumps(value) for key, value in recipe.items()},
    )
    return str(card)
