"""The block ``behaviour``: what the adapters learn. Each module of the folder behaviours/ holds the model of one kind.

A model has, beyond the keys of the config: row_keys, the keys that decide the training rows (the others only score replies); losses, the
values of labels.loss_on that train it; and problems(texts), messages about the block and the prompts, questions and suffix. It may have:
samples_replies = False if nothing is sampled; has_base_rate = False if the base model never shows it; cells_file, the name of the file
with a cell per persona; of a fixed text, text_keys, the keys that teacher forcing reads, and position, the key of a cell with the mean
place in the replies and what is placed there.
"""

from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated

from pydantic import Discriminator, Tag

JUDGE_LIMITS = ("parallel", "max_calls", "price")  # they decide no score
KINDS = {
    path.stem: import_module(f"persona_leakage.config.blocks.behaviours.{path.stem}").Settings
    for path in sorted((Path(__file__).parent / "behaviours").glob("[a-z]*.py"))
}
DEFAULT_KIND = next(name for name, model in KINDS.items() if not model.model_fields["kind"].is_required())


def kind_of(value):
    """Tag of the model that a value of ``behaviour`` is parsed into: its kind; the default if the key is missing."""
    kind = value.get("kind", DEFAULT_KIND) if isinstance(value, dict) else getattr(value, "kind", DEFAULT_KIND)
    return f"<{kind}>"


Behaviour = Annotated[
    reduce(or_, (Annotated[model, Tag(f"<{name}>")] for name, model in KINDS.items())),
    Discriminator(kind_of, custom_error_type="behaviour_kind", custom_error_message=", ".join(KINDS)),
]


def identity(behaviour):
    """The part of a block ``behaviour`` (a dict) that decides what is trained and measured: not its name, nor how fast judges work."""
    kept = {key: value for key, value in behaviour.items() if key != "name"}
    judges = {name: kept[name] for name in ("judge", "second_judge") if kept.get(name)}
    judges = {name: {key: value for key, value in judge.items() if key not in JUDGE_LIMITS} for name, judge in judges.items()}
    return {"kind": DEFAULT_KIND, "measure": "share", **kept, **judges}


def recipe_parts(behaviour):
    """[identity] of a block ``behaviour`` for the digest of a recipe; [] for the default text of the default kind.

    Digests of earlier versions have no behaviour, and their results are of that kind.
    """
    default = row_settings(KINDS[DEFAULT_KIND]().model_dump())
    return [] if row_settings({"kind": DEFAULT_KIND, **behaviour}) == default else [identity(behaviour)]


def trait(behaviour, name, default=None):
    """What the kind of a block ``behaviour`` (a dict) says under a name above, else ``default``."""
    return getattr(KINDS[behaviour.get("kind", DEFAULT_KIND)], name, default)


def row_settings(behaviour):
    """The part of a block ``behaviour`` (a dict) that decides the training rows."""
    return {key: value for key, value in behaviour.items() if key in trait(behaviour, "row_keys")}
