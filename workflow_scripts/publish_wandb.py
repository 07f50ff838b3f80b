"""Publish finished results to Weights & Biases: a run with its figures and an artifact with its files."""

import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from persona_leakage.config.blocks.fields import Block, Names, Seeds, Slug
from persona_leakage.config.blocks.publishing import Wandb
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.publishing.common import describe_files, digests_of, read_key
from persona_leakage.publishing.wandb import ARTIFACT_TYPE, Publication, publish_offline, publish_online
from persona_leakage.publishing.wandb_contents import adapter_contents, experiment_contents


class Settings(Block):
    """Where the results go, and which there are."""

    experiment: Slug
    wandb: Wandb
    questions: Names
    seeds: Seeds | None = None


def main(argv=None):
    """Write the receipt: run, artifact, mode, every file's SHA-256; in offline mode the run folder too, beside the receipts."""
    parser = new_parser("publish_wandb", __doc__, "results", "run-folders", "output", settings=Settings)
    parser.add_argument("--files", nargs="+", required=True, metavar="PATH", help="what the artifact holds; all under --results")
    parser.add_argument("--source", help="with --seed: the adapter to publish (default: the experiment as a whole)")
    parser.add_argument("--seed", type=int, help="training seed of the adapter")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds for the server to show what it was sent (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    if (args.source is None) != (args.seed is None):
        parser.error("--source and --seed go together")
    place, question_sets = args.settings.wandb.model_dump(), args.settings.questions
    online = place["mode"] == "online"
    if online:
        read_key("WANDB_API_KEY", "publishing.wandb.mode: online")
    try:
        client = version("wandb")
    except PackageNotFoundError:
        raise InputError("wandb is not installed; make wandb installs what envs/publishing.yaml lists") from None
    if args.source is None:
        contents = experiment_contents(args.results, args.settings.seeds, question_sets)
    else:
        contents = adapter_contents(args.results, args.source, args.seed, question_sets)
    files = describe_files(args.results, args.files)
    publication = Publication(place["project"], place["entity"], args.settings.experiment, contents, Path(args.results), digests_of(files))
    done = publish_online(publication, args.run_folders, args.patience) if online else publish_offline(publication, args.run_folders)
    receipt = {
        "meta": describe_run("publish_wandb", wandb=client),
        "mode": place["mode"],
        "run": {"id": publication.run_id, "project": place["project"], "entity": done.get("entity", place["entity"])},
        "artifact": {"name": publication.artifact_name, "type": ARTIFACT_TYPE, "digest": done["artifact_digest"]},
        "files": files,
    }
    if online:
        receipt["run"]["url"] = done["url"]
    else:
        receipt["run_folder"] = done["run_folder"]
        receipt["to_upload"] = f"wandb sync {shlex.quote(done['run_folder'])}"
    write_json(args.output, receipt)
    where = done["url"] if online else done["run_folder"]
    print(f"{'published' if done['written'] else 'already there'}: run {publication.run_id}, {len(files)} files, {where}")


if __name__ == "__main__":
    run_program(main)
