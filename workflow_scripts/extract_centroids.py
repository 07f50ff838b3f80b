"""Take the base model's hidden states at one token of every prompt and average them to a centroid per persona."""

from functools import partial
from pathlib import Path

import torch

from persona_leakage.chat import prompt_lengths
from persona_leakage.errors import run_program
from persona_leakage.files import atomic_path, digest_of, sha256_of_file, write_json
from persona_leakage.geometry import centroids
from persona_leakage.hidden_states import position_states
from persona_leakage.kept_states import states_of_all
from persona_leakage.model_loading import load_model, load_tokenizer, model_facts, pick_device, pick_precision, read_manifest
from persona_leakage.options import add_chunk_size, chosen_personas, chosen_questions, new_parser
from persona_leakage.prompts import build_spanned_prompts
from persona_leakage.provenance import LAYER_CONVENTION, describe_run, loaded_code_digest, package_versions


def main(argv=None):
    """Write centroids_layer{L}.pt for every layer, and centroids.json (meta, digests)."""
    parser = new_parser("extract_centroids", __doc__, "model", "personas", "questions", "restart", "output-folder", "meta")
    add_chunk_size(parser, 512, "prompts")
    args = parser.parse_args(argv)
    settings = args.settings
    manifest = read_manifest(args.model)
    tokenizer = load_tokenizer(manifest["folder"])
    personas = chosen_personas(args.personas, settings["personas"])
    questions = chosen_questions(args.questions, settings["questions"])
    prompts = build_spanned_prompts(tokenizer, args.personas, args.questions, settings)
    position = settings["position"]
    lengths = prompt_lengths(tokenizer, personas)
    device = pick_device()
    dtype = pick_precision(settings["precision"], device)
    identity = [model_facts(manifest), str(dtype), device, torch.get_num_threads(), package_versions(), loaded_code_digest(), position]
    measure = partial(position_states, positions=[position])
    states = states_of_all(
        lambda: load_model(manifest, dtype, device), prompts, settings["layers"], identity, args.restart, args.chunk_size, measure
    )
    by_persona = states[:, 0].unflatten(0, (len(personas), len(questions)))
    names = [persona.name for persona in personas]
    digests = {}
    for column, layer in enumerate(settings["layers"]):
        path = Path(args.output_folder) / f"centroids_layer{layer}.pt"
        vectors = by_persona[:, :, column].contiguous()
        content = {
            "centroids": torch.from_numpy(centroids(vectors.numpy())),  # [personas, hidden] float32
            "per_question": vectors,  # [personas, questions, hidden] float32
            "personas": names,
            "questions": questions,
            "prompt_tokens": [lengths[name] for name in names],
            "layer": layer,
            "layer_convention": LAYER_CONVENTION,
            "position": position,
            "model": model_facts(manifest),
        }
        with atomic_path(path) as temporary:
            torch.save(content, temporary)
        digests[path.name] = sha256_of_file(path)
    meta = describe_run(
        "extract_centroids",
        model=model_facts(manifest),
        layer_convention=LAYER_CONVENTION,
        position=position,
        precision=str(dtype).removeprefix("torch."),
        bank={"personas": len(names), "digest": digest_of(sorted(names))},
    )
    write_json(args.meta, {"meta": meta, "sha256": digests})


if __name__ == "__main__":
    run_program(main)
