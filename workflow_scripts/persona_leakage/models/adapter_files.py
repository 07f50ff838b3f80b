"""An adapter on the command line of a program, compared with what training wrote of it."""

from functools import partial
from pathlib import Path

from persona_leakage.config.blocks.training import TrainingRecipe
from persona_leakage.config.program_options import read_settings
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import check_digest, read_json, read_jsonl_gz
from persona_leakage.models.saved_adapter import CONFIG, Adapter


def add_adapter_options(parser, base=None):
    """The options of programs that read an adapter and also work without, on the base model.

    base: names of the program's two result files, records and summary, if the results with an adapter are compared with those without.
    """
    parser.add_argument("--state", required=True, help="base, or source/seed")
    if base:
        parser.add_argument("--base", nargs="*", default=[], help=f"the base model's {base}, to be compared with")
    parser.add_argument("--adapter", nargs="?", help="adapter_model.safetensors of the state (default: none, the base model)")
    parser.add_argument("--adapter-metrics", nargs="?", help="metrics.json of the adapter")
    text = "manifest.json of the training rows that the adapter must have (default: not compared)"
    parser.add_argument("--adapter-rows", nargs="?", help=text)
    text = "JSON of the training settings that the adapter must have (default: not compared)"
    parser.add_argument("--trained-with", type=partial(read_settings, TrainingRecipe), metavar="JSON", help=text)


def read_adapter(parser, args):
    """The :class:`Adapter` of the command line, for --state; None without --adapter (the base model).

    InputError unless its files have the SHA-256 of its metrics.json, and it was trained on the model of --model and with the rows and
    settings given: a training job that outlived its workflow may overwrite the adapter of a later run. Of the settings
    ``max_tokens_per_micro_batch``, which decides no more than rounding, is not compared. Exit code 2 without --adapter-metrics, or
    with an adapter and without --base where the program has that option.
    """
    if "base" in args and len(args.base) != (2 if args.adapter else 0):
        parser.error("--base: needs two files with --adapter, none without")
    if not args.adapter:
        return None
    if not args.adapter_metrics:
        parser.error("--adapter needs --adapter-metrics")
    weights, metrics, rows = args.adapter, args.adapter_metrics, args.adapter_rows
    settings = args.trained_with.model_dump(exclude_unset=True) if args.trained_with else {}
    trained = read_json(metrics, "train_adapter")
    facts = [("model", trained["meta"]["model"]["digest"], args.model, read_json(args.model, "fetch_model")["digest"])]
    if rows:
        facts.append(("rows", trained["rows_sha256"], rows, read_json(rows, "build_training_set")["sha256"]))
    for key in sorted(settings.keys() - {"max_tokens_per_micro_batch"}):
        facts.append((key, trained["settings"].get(key), "the config", settings[key]))
    for name, found, source, expected in facts:
        if found != expected:
            raise InputError(
                f"{metrics}: trained with {name}: {found}, but {source} says {expected}; an earlier run may have "
                "finished late, or --touch may have marked it as up to date; delete this file and rerun"
            )
    check_digest(weights, trained["adapter_sha256"], metrics)
    check_digest(Path(weights).with_name(CONFIG), trained["adapter_config_sha256"], metrics)
    return Adapter(args.state, str(Path(weights).parent), trained["adapter_sha256"], trained["adapter_config_sha256"])


def read_base(args, program, measured, sha256):
    """(records, summary) of --base; InputError unless they are whole, from ``program``, and of the same ``measured`` (such as "items").

    sha256: of the file of items or completions.
    """
    path, summary_path = args.base
    summary = read_json(summary_path, program)
    check_digest(path, summary["sha256"], summary_path)
    if summary["meta"][f"{measured}_sha256"] != sha256:
        raise InputError(f"{summary_path}: belongs to different {measured}; delete it and rerun")
    return read_jsonl_gz(path), summary
