"""Count the behaviour in the replies to prompts without a persona, and compare them with the panel."""

from persona_leakage.behaviours.base import read_behaviour
from persona_leakage.config.blocks.behaviour import Behaviour
from persona_leakage.config.blocks.fields import Block, Names
from persona_leakage.config.blocks.personas import NoPersonaPrompt
from persona_leakage.config.program_options import new_parser
from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digest, check_digests, read_json, read_jsonl_gz, write_json
from persona_leakage.infrastructure.provenance import LAYER_CONVENTION, describe_run
from persona_leakage.models.loading import load_tokenizer, model_facts, read_manifest
from persona_leakage.statistics.comparisons.no_persona_prompts import describe_prompts, rank_no_persona_prompts, score_no_persona_prompts
from persona_leakage.tables.read import read_pairs


class Settings(Block):
    """The parts of the config that decide the description."""

    no_persona_prompts: list[NoPersonaPrompt]
    sources: Names
    behaviour: Behaviour
    suffix: str


def main(argv=None):
    """Write no_persona_prompts.json."""
    parser = new_parser("compare_no_persona_prompts", __doc__, "model", "pairs", "tables", "output", settings=Settings)
    for option, text in (
        ("completions", "completions.jsonl.gz of the base model and of each source, in the order of --settings"),
        ("completions-meta", "completions.json of each"),
        ("centroids", "the headline layer's centroids of the prompts without a persona and of the panel"),
        ("centroids-meta", "centroids.json of each"),
    ):
        parser.add_argument(f"--{option}", nargs="+", required=True, metavar="PATH", help=text)
    args = parser.parse_args(argv)
    settings = args.settings
    no_persona_prompts, block, manifest = settings.no_persona_prompts, settings.behaviour.model_dump(), read_manifest(args.model)
    tokenizer = load_tokenizer(manifest["folder"])
    behaviour = read_behaviour(block, tokenizer)
    records = []
    for path, meta in zip(args.completions, args.completions_meta, strict=True):
        check_digest(path, read_json(meta, "sample_completions")["sha256"], meta)
        records.append(list(read_jsonl_gz(path)))
    base, *of_sources = [score_no_persona_prompts(each, behaviour, no_persona_prompts) for each in records]
    for path, meta in zip(args.centroids, args.centroids_meta, strict=True):
        check_digests([path], meta)
    own, panel = map(read_centroids, args.centroids)
    vectors = dict(zip(own["personas"], own["centroids"], strict=True))
    check_digests([args.pairs], args.tables)
    pairs = read_pairs(args.pairs)
    pairs = pairs[pairs["layer"] == panel["layer"]]
    placed = {}
    for source, scores in zip(settings.sources, of_sources, strict=True):
        geometry = {"vectors": vectors, "bank": panel["centroids"], "origin": panel["personas"].index(source)}
        placed[source] = rank_no_persona_prompts(scores, pairs[pairs["source"] == source], geometry)
    meta = describe_run("compare_no_persona_prompts", model=model_facts(manifest), behaviour=block, layer_convention=LAYER_CONVENTION)
    prompts = describe_prompts(tokenizer, no_persona_prompts, records[0][0]["question"] + settings.suffix)
    write_json(args.output, {"meta": meta, "headline_layer": panel["layer"], "prompts": prompts, "base": base, "sources": placed})


if __name__ == "__main__":
    run_program(main)
