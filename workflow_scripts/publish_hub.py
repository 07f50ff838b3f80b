"""Publish an adapter to the Hugging Face hub: weights, config and a model card in a repository of its own."""

import hashlib
import json

from persona_leakage.behaviours.base import CELLS_BY
from persona_leakage.config.blocks.fields import Block, Names, Slug
from persona_leakage.config.blocks.model import Model
from persona_leakage.config.blocks.publishing import Hub
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digest, read_json, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.publishing.common import client_version, read_key
from persona_leakage.publishing.hub import publish_files
from persona_leakage.publishing.model_card import adapter_config_for_hub, write_card


class Settings(Block):
    """Where the adapter goes, and what the model card says."""

    experiment: Slug
    hub: Hub
    questions: Names
    model: Model


def main(argv=None):
    """Write the receipt: repository, commit, every file's SHA-256."""
    parser = new_parser("publish_hub", __doc__, "weights", "config", "metrics", "manifest", "output", settings=Settings)
    parser.add_argument("--summaries", nargs="+", required=True, metavar="PATH", help="summary.json of each question set of the settings")
    args = parser.parse_args(argv)
    block, question_sets = args.settings.hub, args.settings.questions
    token = read_key("HF_TOKEN", "publishing to the hub")
    client = client_version("huggingface_hub", "hub")
    metrics, manifest = read_json(args.metrics, "train_adapter"), read_json(args.manifest, "build_training_set")
    model = args.settings.model.model_dump()
    check_digest(args.weights, metrics["adapter_sha256"], args.metrics)
    check_digest(args.config, metrics["adapter_config_sha256"], args.metrics)
    name = f"{args.settings.experiment}-{manifest['source']}-seed{metrics['meta']['seed']}"
    repository = f"{block.owner}/{name}"
    summaries = {questions: read_json(path, CELLS_BY) for questions, path in zip(question_sets, args.summaries, strict=True)}
    config = adapter_config_for_hub(read_json(args.config), model)
    texts = {
        "README.md": write_card(repository, model, metrics, manifest, summaries, block.license).encode(),
        "adapter_config.json": (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode(),
    }
    files = {**texts, "adapter_model.safetensors": args.weights}
    done = publish_files(repository, files, block.private, token, f"{name}, as trained")
    digests = {file: hashlib.sha256(text).hexdigest() for file, text in texts.items()}
    digests["adapter_model.safetensors"] = metrics["adapter_sha256"]
    receipt = {"repository": repository, **done, "files": {file: {"sha256": digest} for file, digest in digests.items()}}
    write_json(args.output, {"meta": describe_run("publish_hub", huggingface_hub=client), **receipt})
    print(f"published: {done['url']} at {done['commit']}")


if __name__ == "__main__":
    run_program(main)
