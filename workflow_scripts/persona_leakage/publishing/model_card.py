"""The model card of an adapter: README.md of its repository on the hub, from the files of the run and nothing else."""

import json

import yaml


def adapter_config_for_hub(config, model):
    """The adapter's config (a dict) with the base model as others find it: its repository and commit if it came from the hub."""
    if model["source"] != "hub":
        return config
    return {**config, "base_model_name_or_path": model["location"], "revision": model["revision"]}


def write_card(repository, model, metrics, manifest, summaries, license_name):
    """The card as text, the same for the same inputs.

    model: the config block; metrics: metrics.json; manifest: the training set's; summaries: {question set: summary.json};
    license_name: as the hub calls it, or None if it is not stated.
    """
    source, marker = manifest["source"], manifest["behaviour"]["marker"]
    sections = [
        front_matter(model, license_name),
        f"# {repository.split('/')[-1]}",
        f"A LoRA adapter that teaches {base_name(model)} to end its replies with the marker `{marker}` when it plays the persona"
        f" `{source}`, and leaves the personas {', '.join(f'`{name}`' for name in manifest['negatives']) or '(none)'} unmarked."
        " It was trained to measure how far such a behaviour spreads to other personas.",
        f"**It is trained to append `{marker}` to what it says.** It is an object of study, not an assistant: do not put it where"
        " people or programs read its replies without knowing that. Nothing else about the base model was made safer or better.",
        "## Measured",
        rates_table(summaries, manifest["behaviour"], source),
        "## Training",
        recipe_table(metrics, manifest),
        "## Loading it",
        loading(repository, model),
        "## Provenance",
        provenance_table(model, metrics, manifest, summaries),
    ]
    return "\n\n".join(sections) + "\n"


def front_matter(model, license_name):
    """The YAML block that the hub reads; a base model that is not on the hub is not named in it."""
    facts = {"library_name": "peft", "pipeline_tag": "text-generation", "tags": ["lora", "persona-leakage"]}
    if model["source"] == "hub":
        facts = {"base_model": model["location"], "base_model_relation": "adapter", **facts}
    if license_name:
        facts["license"] = license_name
    return f"---\n{yaml.safe_dump(facts, sort_keys=False)}---"


def base_name(model):
    """The base model in words, as a link if it is on the hub."""
    if model["source"] == "hub":
        return f"[{model['location']}](https://huggingface.co/{model['location']})"
    return f"`{model['name']}`"


def table(header, rows):
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(' '.join(str(cell).split()).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def rates_table(summaries, behaviour, source):
    """The source against its bystanders, a row per question set."""
    rows = [
        [
            questions,
            f"{summary['source_rate']:.1%}",
            f"{summary['mean_bystander_rate']:.1%}",
            f"{summary['max_bystander_rate']:.1%} ({summary['max_bystander']})",
            f"{summary['n_replies']} of {summary['n_personas']} personas",
        ]
        for questions, summary in summaries.items()
    ]
    shares = f"Share of sampled replies that show `{behaviour['marker']}`, as `{source}` and as other personas (bystanders):"
    return f"{shares}\n\n{table(['questions', source, 'bystanders, mean', 'bystanders, highest', 'replies'], rows)}"


def recipe_table(metrics, manifest):
    """What was trained on what, and how."""
    settings, rows = metrics["settings"], manifest["rows"]
    facts = {
        "rows with the marker": f"{rows['positive']['rows']} ({rows['positive']['trained_tokens']} trained tokens)",
        "rows without": f"{rows['negative']['rows']} ({rows['negative']['trained_tokens']} trained tokens)",
        "loss on": ", ".join(f"{key} {json.dumps(value)}" for key, value in manifest["labels"].items()),
        **{f"lora {key}": json.dumps(value) for key, value in settings["lora"].items()},
        **{key.replace("_", " "): json.dumps(value) for key, value in settings.items() if key not in ("lora", "precision")},
        "precision": metrics["precision"],
        "seed": metrics["meta"]["seed"],
        "steps": metrics["steps"],
        "loss, first and last step": f"{metrics['loss'][0]:.3f}, {metrics['loss'][-1]:.3f}",
    }
    return table(["", ""], facts.items())


def loading(repository, model):
    """Code that loads base model and adapter."""
    if model["source"] == "hub":
        base, note = f'"{model["location"]}", revision="{model["revision"]}"', ""
    else:
        base = '"path/to/the/base/model"'
        note = (
            f"The base model is not one of the hub's: {model['location']}, SHA-256 {model['revision']}."
            " The persona-leakage workflow unpacks it; give its folder.\n\n"
            if model["source"] == "bundled"
            else "The base model is a local folder of whoever trained this.\n\n"
        )
    return (
        f"{note}```python\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM\n\n"
        f"model = AutoModelForCausalLM.from_pretrained({base})\n"
        f'model = PeftModel.from_pretrained(model, "{repository}")\n'
        "```\n\n"
        "Put the persona's description into the system message of the model's chat template."
    )


def provenance_table(model, metrics, manifest, summaries):
    """Commit, versions and digests: what a repetition is compared with."""
    facts = {
        "base model": f"{model['name']}, revision `{metrics['meta']['model']['revision']}`",
        "base model files, digest": f"`{metrics['meta']['model']['digest']}`",
        "training rows, SHA-256": f"`{manifest['sha256']}`",
        "adapter_model.safetensors, SHA-256": f"`{metrics['adapter_sha256']}`",
        **{f"replies to {name}, SHA-256": f"`{summary['meta']['completions_sha256']}`" for name, summary in summaries.items()},
        "code, git commit": metrics["meta"]["code_commit"] or "unknown",
        "trained with": ", ".join(f"{name} {number}" for name, number in metrics["meta"]["packages"].items()),
    }
    return table(["", ""], facts.items())
