"""Own gain of each source, mean gain of its bystanders and its correlation with the cosine, after each kept step of the training."""

import pandas as pd

from persona_leakage.config.blocks.fields import Block, Names
from persona_leakage.config.blocks.geometry import Layer
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path, check_digests, read_json, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.along_training import describe_step
from persona_leakage.tables.read import read_pairs


class Settings(Block):
    """The parts of the config that decide the table."""

    sources: Names
    headline_layer: Layer


def main(argv=None):
    """Write along_training.csv (a row per source and step) and along_training.json, the same with what it is made from."""
    parser = new_parser("follow_training", __doc__, "pairs", "tables", "table", "output", settings=Settings)
    for option in ("metrics", "forced"):
        parser.add_argument(f"--{option}", nargs="+", required=True, metavar="PATH", help="of each source and snapshot, source by source")
    args = parser.parse_args(argv)
    check_digests([args.pairs], args.tables)
    pairs, layer, sources = read_pairs(args.pairs), args.settings.headline_layer, args.settings.sources
    pairs = pairs[pairs["layer"] == layer]
    snapshots = len(args.forced) // len(sources)
    rows, model = [], None
    for index, (path, metrics) in enumerate(zip(args.forced, args.metrics, strict=True)):
        source, forced, facts = sources[index // snapshots], read_json(path, "teacher_force"), read_json(metrics, "train_adapter")
        if forced["meta"]["adapter_sha256"] != facts["adapter_sha256"]:
            raise InputError(f"{path}: is of another adapter than {metrics}; delete it and rerun")
        model = forced["meta"]["model"]
        step = {"source": source, "step": facts["step"], "steps": facts["steps"]}
        rows.append({**step, **describe_step(pairs[pairs["source"] == source], forced["personas"], source)})
    with atomic_path(args.table) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")
    meta = describe_run("follow_training", model=model, table_sha256=sha256_of_file(args.table))
    write_json(args.output, {"meta": meta, "unit": "nats", "headline_layer": layer, "rows": rows})


if __name__ == "__main__":
    run_program(main)
