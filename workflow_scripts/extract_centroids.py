"""Take a model's hidden states at one token of every prompt, without adapter or with one, and average them to a centroid per persona."""

from functools import partial
from pathlib import Path

import torch

from persona_leakage.config.blocks.fields import Precision
from persona_leakage.config.blocks.geometry import Layers, Position
from persona_leakage.config.blocks.settings import Prompts
from persona_leakage.config.program_options import prompts_parser
from persona_leakage.config.selections import chosen_personas, chosen_questions
from persona_leakage.geometry.cosine import centroids
from persona_leakage.geometry.hidden_states import position_states, states_of_all, write_meta
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import sha256_of_file
from persona_leakage.infrastructure.provenance import LAYER_CONVENTION
from persona_leakage.infrastructure.tensor_files import write_tensors
from persona_leakage.models.adapter_files import add_adapter_options, read_adapter
from persona_leakage.models.chat_template import prompt_lengths
from persona_leakage.models.loading import load_tokenizer, model_facts, pick_device, pick_precision, read_manifest, surroundings
from persona_leakage.models.prompts import build_prompts, build_spanned_prompts
from persona_leakage.models.reading import load_state


class Settings(Prompts):
    """The parts of the config that decide the centroids."""

    layers: Layers
    position: Position
    precision: Precision
    merge_adapter: bool = False


def main(argv=None):
    """Write centroids_layer{L}.pt for every layer, and centroids.json (meta, digests)."""
    parser = prompts_parser("extract_centroids", __doc__, "output-folder", "meta", settings=Settings, chunk=(512, "prompts"))
    add_adapter_options(parser)
    args = parser.parse_args(argv)
    settings = args.settings
    adapter = read_adapter(parser, args)
    manifest = read_manifest(args.model)
    tokenizer = load_tokenizer(manifest["folder"])
    questions = chosen_questions(args.questions, settings.questions.model_dump())
    names = list(dict.fromkeys(name for name, _, _ in build_prompts(tokenizer, args.personas, args.questions, settings)))
    prompts = build_spanned_prompts(tokenizer, args.personas, args.questions, settings)
    lengths = prompt_lengths(tokenizer, chosen_personas(args.personas, settings.personas.model_dump())) if settings.personas else {}
    position, merge = settings.position, settings.merge_adapter
    device = pick_device()
    dtype = pick_precision(settings.precision, device)
    adapted = [adapter.sha256, adapter.config_sha256, merge] if adapter else None
    states, memory = states_of_all(
        lambda: load_state(manifest, dtype, device, adapter, merge),
        prompts,
        settings.layers,
        [model_facts(manifest), adapted, position, *surroundings(dtype, device)],
        args.restart,
        args.chunk_size,
        partial(position_states, positions=[position]),
    )
    by_persona = states[:, 0].unflatten(0, (len(names), len(questions)))
    digests = {}
    for column, layer in enumerate(settings.layers):
        path = Path(args.output_folder) / f"centroids_layer{layer}.pt"
        vectors = by_persona[:, :, column].contiguous()
        content = {
            "centroids": torch.from_numpy(centroids(vectors.numpy())),  # [personas, hidden] float32
            "per_question": vectors,  # [personas, questions, hidden] float32
            "personas": names,
            "questions": questions,
            "prompt_tokens": [lengths.get(name) for name in names],
            "layer": layer,
            "layer_convention": LAYER_CONVENTION,
            "position": position,
            "model": model_facts(manifest),
        }
        write_tensors(path, content)
        digests[path.name] = sha256_of_file(path)
    facts = {"state": args.state, "adapter_sha256": adapter.sha256 if adapter else None, "position": position}
    write_meta(args.meta, "extract_centroids", digests, manifest, names, dtype, memory, **facts)


if __name__ == "__main__":
    run_program(main)
