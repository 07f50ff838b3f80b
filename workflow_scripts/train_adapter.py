"""Train a LoRA adapter on a source's rows; an interrupted run continues from its last checkpoint."""

from pathlib import Path

from persona_leakage.config.blocks.fields import Block, CountOrNone
from persona_leakage.config.blocks.training import TrainingRecipe
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import (
    check_digest,
    clear_temporaries,
    digest_of,
    read_json,
    read_jsonl_gz,
    sha256_of_file,
    write_json,
)
from persona_leakage.infrastructure.provenance import describe_run, peak_memory_bytes
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.models.loading import load_model, model_facts, pick_device, pick_precision, read_manifest, surroundings
from persona_leakage.models.lora import adapted_layers, attach_new_adapter, put_weights, save_adapter
from persona_leakage.models.saved_adapter import CONFIG, WEIGHTS
from persona_leakage.training.loop import train


class Settings(Block):
    """The parts of the config that decide an adapter. snapshots: after how many steps it is kept; 0: only at the end."""

    training: TrainingRecipe
    snapshots: CountOrNone = 0


def main(argv=None):
    """Write the adapter's two files into the output folder and metrics.json (loss curve, speed, memory, digest).

    With snapshots their files and a short metrics.json are in the folders 1, 2 and so on of the output folder.
    """
    parser = new_parser(
        "train_adapter", __doc__, "model", "rows", "rows-manifest", "restart", "output-folder", "metrics", settings=Settings
    )
    parser.add_argument("--source", required=True, help="the persona whose rows these are")
    parser.add_argument("--seed", required=True, type=int, help="training seed: adapter init, order of rows, dropout")
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0, help="time between checkpoints (default: %(default)s)")
    args = parser.parse_args(argv)
    training, snapshots = args.settings.training.model_dump(), args.settings.snapshots
    manifest = read_manifest(args.model)
    rows_sha256 = read_json(args.rows_manifest, "build_training_set")["sha256"]
    check_digest(args.rows, rows_sha256, args.rows_manifest)
    rows = read_jsonl_gz(args.rows)
    device = pick_device()
    dtype = pick_precision(training["precision"], device)
    # Short rows: on a CPU plain attention beats the fused kernel, whose backward pass is slow there.
    model = load_model(manifest, dtype, device, attention="eager" if device == "cpu" else None)
    # The seed is independent of the source, so that sources differ in their rows alone.
    model = attach_new_adapter(model, training["lora"], derive_seed(args.seed, "adapter"))
    identity = [manifest["digest"], rows_sha256, training, args.seed, *surroundings(dtype, device), *([snapshots] if snapshots else [])]
    from persona_leakage.inference.shared_engine import load_second_meanwhile, owner_process  # not among what decides an adapter

    if (owner := owner_process()) is not None:
        load_second_meanwhile(owner)
    clear_temporaries(args.restart)
    checkpoint = Path(args.restart) / f"{digest_of(identity)}.pt"
    results = train(
        model, rows, training, args.seed, checkpoint, device, dtype, args.checkpoint_seconds, f"training {args.source}", snapshots
    )
    kept, name, folder = results.pop("snapshots", {}), manifest["name"], Path(args.output_folder)
    facts = {
        "meta": describe_run("train_adapter", model=model_facts(manifest), seed=args.seed, source=args.source),
        "settings": training,
        "rows_sha256": rows_sha256,
    }
    for number, (step, weights) in enumerate(kept.items(), start=1):
        put_weights(model, weights)
        path = folder / str(number)
        write_adapter(model, name, path, path / "metrics.json", {**facts, "step": step, "steps": results["steps"]})
    if not snapshots:
        facts |= {"adapted_layers": adapted_layers(model), "precision": str(dtype).removeprefix("torch."), **results}
        speed = {"tokens_per_second": results["tokens"] / results["train_seconds"], "peak_memory_bytes": peak_memory_bytes()}
        write_adapter(model, name, folder, args.metrics, {**facts, **speed})
    checkpoint.unlink(missing_ok=True)


def write_adapter(model, name, folder, metrics, facts):
    """Write the adapter's two files into ``folder``, and ``metrics`` with ``facts`` and their SHA-256; name: of the base model."""
    save_adapter(model, name, folder)
    digests = {"adapter_sha256": sha256_of_file(Path(folder) / WEIGHTS), "adapter_config_sha256": sha256_of_file(Path(folder) / CONFIG)}
    write_json(metrics, {**facts, **digests})


if __name__ == "__main__":
    run_program(main)
