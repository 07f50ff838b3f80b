"""Adapters on the command line of a program, compared with what training wrote of them."""

from pathlib import Path

from persona_leakage.files import check_digest, read_json
from persona_leakage.generation import Adapter
from persona_leakage.lora import CONFIG, load_adapter
from persona_leakage.model_loading import load_model


def add_adapter_options(parser, what):
    """The options --adapter and --adapter-metrics of programs that also work without, on the base model."""
    parser.add_argument("--adapter", nargs="*", default=[], help=f"adapter_model.safetensors of {what} (default: none, the base model)")
    parser.add_argument("--adapter-metrics", nargs="*", default=[], help="metrics.json of each adapter")


def read_adapter(state, weights, metrics):
    """The :class:`Adapter` of two files, after comparing their SHA-256 with those in its metrics.json (InputError)."""
    trained = read_json(metrics)
    check_digest(weights, trained["adapter_sha256"], metrics)
    check_digest(Path(weights).with_name(CONFIG), trained["adapter_config_sha256"], metrics)
    return Adapter(state, str(Path(weights).parent), trained["adapter_sha256"], trained["adapter_config_sha256"])


def read_one_adapter(parser, args, state):
    """The adapter of a program that takes one or none; None for the base model. Exit code 2 at another number of values."""
    if len(args.adapter) > 1 or len(args.adapter) != len(args.adapter_metrics):
        parser.error("--adapter and --adapter-metrics need one value each, or none")
    return read_adapter(state, args.adapter[0], args.adapter_metrics[0]) if args.adapter else None


def load_state(manifest, dtype, device, adapter, merge):
    """The model with an adapter (None: the base model); merge: fold it into the weights."""
    model = load_model(manifest, dtype, device)
    return load_adapter(model, adapter.folder, merge) if adapter else model
