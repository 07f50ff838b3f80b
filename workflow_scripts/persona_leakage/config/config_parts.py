"""What a merged config takes from single config files: a panel that is extended, a model's revision, blocks that count as one value."""

from persona_leakage.config.experiment import read_config
from persona_leakage.infrastructure.cli import InputError


def config_layers(files, values=None):
    """[(name, content)] of config files in the order in which Snakemake merges them, and of the ``values`` of ``--config``.

    InputError as from read_config: Snakemake's own reader lets the last of two equal keys win, and fills templates.
    """
    return [*((str(file), read_config(file)) for file in files), ("--config", dict(values or {}))]


def resolve_config(config, layers):
    """Replace ``personas.panel.extend`` by the whole panel, drop a model revision that was given for another model, and replace
    ``evaluation.teacher_forced`` and a behaviour of another kind as a whole instead of merging their keys: the last layer decides.

    config: the merged config, changed in place. layers: see :func:`config_layers`. Wrong types are left to the schema.
    """
    if isinstance(config.get("personas"), dict):
        resolve_panel(config["personas"], blocks_of(layers, "personas"))
    if isinstance(config.get("model"), dict):
        resolve_revision(config["model"], blocks_of(layers, "model"))
    if isinstance(config.get("behaviour"), dict):
        config["behaviour"] = resolve_behaviour(blocks_of(layers, "behaviour"))
    given = [block["teacher_forced"] for _, block in blocks_of(layers, "evaluation") if "teacher_forced" in block]
    if given and isinstance(config.get("evaluation"), dict):
        config["evaluation"]["teacher_forced"] = given[-1]


def blocks_of(layers, key):
    """[(name, block)] of the layers that have a block ``key``."""
    return [(name, content[key]) for name, content in layers if isinstance(content.get(key), dict)]


def resolve_behaviour(layers):
    """The merged behaviour; a layer that gives another kind replaces what is there, for each kind has keys of its own."""
    behaviour = {}
    for _, block in layers:
        other = block.get("kind", behaviour.get("kind")) != behaviour.get("kind")
        behaviour = dict(block) if other else {**behaviour, **block}
    return behaviour


def resolve_panel(personas, layers):
    """Put the extended panel in the place of ``panel: {extend: names}``: the last panel that a layer gives as a whole, then the names."""
    panel = personas.get("panel")
    if not isinstance(panel, dict) or set(panel) != {"extend"} or not isinstance(panel["extend"], list):
        return
    whole = [(name, block["panel"]) for name, block in layers if "panel" in block and not isinstance(block["panel"], dict)]
    if not whole:
        raise InputError("personas.panel.extend: no config file gives a list to extend; write the whole list as personas.panel")
    name, base = whole[-1]
    if base == "all":
        raise InputError(
            f"personas.panel.extend: the panel of {name} is all personas, also those of personas.add; leave personas.panel out"
        )
    if isinstance(base, list):
        if known := [str(persona) for persona in panel["extend"] if persona in base]:
            raise InputError(f"personas.panel.extend: {', '.join(known)}: already in the panel of {name}; leave out of extend")
        base = [*base, *panel["extend"]]
    personas["panel"] = base


def resolve_revision(model, layers):
    """Set ``revision`` to None for a model folder whose revision comes from a layer before the one that names the folder."""
    if model.get("source") != "path":
        return
    naming = max((number for number, (_, block) in enumerate(layers) if {"source", "location"} & set(block)), default=0)
    if not any("revision" in block for _, block in layers[naming:]):
        model["revision"] = None
