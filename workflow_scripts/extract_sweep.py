"""Take the base model's hidden states at several layers and tokens of every prompt, as centroids per persona."""

from functools import partial
from pathlib import Path

import numpy as np

from persona_leakage.config.blocks.fields import Precision
from persona_leakage.config.blocks.geometry import LayersOrAll, Positions
from persona_leakage.config.blocks.settings import Prompts
from persona_leakage.config.program_options import prompts_parser
from persona_leakage.geometry.hidden_states import persona_means, states_of_all, write_meta
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, sha256_of_file
from persona_leakage.infrastructure.provenance import LAYER_CONVENTION
from persona_leakage.models.loading import load_model, load_tokenizer, model_facts, pick_device, pick_precision, read_manifest, surroundings
from persona_leakage.models.prompts import build_spanned_prompts


class Settings(Prompts):
    """The parts of the config that decide the swept centroids."""

    layers: LayersOrAll
    positions: Positions
    precision: Precision


def main(argv=None):
    """Write sweep_{position}.npz for every position, and sweep.json (meta, digests)."""
    parser = prompts_parser("extract_sweep", __doc__, "output-folder", "meta", settings=Settings, chunk=(512, "prompts"))
    args = parser.parse_args(argv)
    settings, manifest = args.settings, read_manifest(args.model)
    names, positions = settings.personas.names, settings.positions
    layers = list(range(manifest["blocks"])) if settings.layers == "all" else sorted(settings.layers)
    prompts = build_spanned_prompts(load_tokenizer(manifest["folder"]), args.personas, args.questions, settings)
    each = len(prompts) // len(names)
    by_persona = [prompts[start : start + each] for start in range(0, len(prompts), each)]
    device = pick_device()
    dtype = pick_precision(settings.precision, device)
    identity = [model_facts(manifest), positions, *surroundings(dtype, device)]
    states, memory = states_of_all(
        lambda: load_model(manifest, dtype, device),
        by_persona,
        layers,
        identity,
        args.restart,
        max(1, args.chunk_size // each),
        partial(persona_means, positions=positions),
    )
    digests = {}
    for column, position in enumerate(positions):
        path = Path(args.output_folder) / f"sweep_{position}.npz"
        vectors = states[:, column].transpose(0, 1).numpy()  # [layers, personas, hidden] float32
        facts = {"layers": layers, "personas": names, "position": position, "layer_convention": LAYER_CONVENTION}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, centroids=vectors, model=manifest["digest"], **facts)
        digests[path.name] = sha256_of_file(path)
    write_meta(args.meta, "extract_sweep", digests, manifest, names, dtype, memory)


if __name__ == "__main__":
    run_program(main)
