"""Adapters on the command line of a program, compared with what training wrote of them."""

from pathlib import Path

from persona_leakage.errors import InputError
from persona_leakage.files import check_digest, read_json
from persona_leakage.generation import Adapter
from persona_leakage.lora import CONFIG, load_adapter
from persona_leakage.model_loading import load_model
from persona_leakage.options import json_object


def add_adapter_options(parser, what):
    """The options --adapter, --adapter-metrics and --trained-with of programs that also work without, on the base model."""
    parser.add_argument("--adapter", nargs="*", default=[], help=f"adapter_model.safetensors of {what} (default: none, the base model)")
    parser.add_argument("--adapter-metrics", nargs="*", default=[], help="metrics.json of each adapter")
    text = "JSON of the training settings that the adapters must have (default: not compared)"
    parser.add_argument("--trained-with", type=json_object, metavar="JSON", help=text)


def read_adapter(state, weights, metrics, settings):
    """The :class:`Adapter` of two files. InputError unless they have the SHA-256 of its metrics.json and were trained with ``settings``.

    A training job that outlived its workflow may end after the one that a later run of another config put in its place.
    settings: None: any; ``micro_batch_tokens``, which decides no more than rounding, is not compared.
    """
    trained = read_json(metrics)
    for key in sorted(set(settings or {}) - {"micro_batch_tokens"}):
        if trained["settings"].get(key) != settings[key]:
            raise InputError(
                f"{metrics}: trained with {key}: {trained['settings'].get(key)}, but the config says {settings[key]}; "
                "a job of an earlier run may have ended after it; delete this file and run again"
            )
    check_digest(weights, trained["adapter_sha256"], metrics)
    check_digest(Path(weights).with_name(CONFIG), trained["adapter_config_sha256"], metrics)
    return Adapter(state, str(Path(weights).parent), trained["adapter_sha256"], trained["adapter_config_sha256"])


def read_one_adapter(parser, args, state):
    """The adapter of a program that takes one or none; None for the base model. Exit code 2 at another number of values."""
    if len(args.adapter) > 1 or len(args.adapter) != len(args.adapter_metrics):
        parser.error("--adapter and --adapter-metrics need one value each, or none")
    return read_adapter(state, args.adapter[0], args.adapter_metrics[0], args.trained_with) if args.adapter else None


def load_state(manifest, dtype, device, adapter, merge):
    """The model with an adapter (None: the base model); merge: fold it into the weights."""
    model = load_model(manifest, dtype, device)
    return load_adapter(model, adapter.folder, merge) if adapter else model
