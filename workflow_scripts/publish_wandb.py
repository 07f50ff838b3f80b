"""Publish finished results to Weights & Biases: a run with its figures and an artifact with its files."""

import shlex

from persona_leakage.config.blocks.fields import Block, Names, Seeds, Slug
from persona_leakage.config.blocks.publishing import Wandb
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.publishing.common import client_version, describe_files, read_key
from persona_leakage.publishing.wandb import adapter_run, experiment_run, publish_run


class Settings(Block):
    """Where the results go, and which there are."""

    experiment: Slug
    wandb: Wandb
    questions: Names
    seeds: Seeds | None = None


def main(argv=None):
    """Write the receipt: run, artifact, mode, every file's SHA-256; for an offline run the command that uploads it."""
    parser = new_parser("publish_wandb", __doc__, "results", "run-folders", "output", settings=Settings)
    parser.add_argument("--files", nargs="+", required=True, metavar="PATH", help="files of the artifact, all under --results")
    parser.add_argument("--source", help="with --seed: the adapter to publish (default: the experiment as a whole)")
    parser.add_argument("--seed", type=int, help="training seed of the adapter")
    args = parser.parse_args(argv)
    block, question_sets = args.settings.wandb, args.settings.questions
    if block.mode == "online":
        read_key("WANDB_API_KEY", "publishing.wandb.mode: online")
    client = client_version("wandb", "wandb")
    if args.source is None:
        run = experiment_run(args.results, args.settings.seeds, question_sets)
    else:
        run = adapter_run(args.results, args.source, args.seed, question_sets)
    files = describe_files(args.results, args.files)
    digests = {name: facts["sha256"] for name, facts in files.items()}
    done = publish_run(run, block, args.settings.experiment, args.results, digests, args.run_folders)
    if folder := done.get("run_folder"):
        done["to_upload"] = f"wandb sync {shlex.quote(folder)}"
    write_json(args.output, {"meta": describe_run("publish_wandb", wandb=client), "mode": block.mode, **done, "files": files})
    print(f"published: run {done['run']['id']}, {len(files)} files, {folder or done['url']}")


if __name__ == "__main__":
    run_program(main)
