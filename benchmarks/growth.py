"""How time and memory of the stages grow with personas, samples and sources: each size in a process of its own; slopes and a figure."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness import about
from models import CONFIG, make_model, make_prompts, tokenizer_and_format
from persona_leakage.config.blocks.analysis import Statistics
from persona_leakage.figures.style import BLUE, ORANGE, panels, save_figure
from persona_leakage.geometry.hidden_states import states_of_all
from persona_leakage.inference.engine import sample_missing
from persona_leakage.inference.requests import SamplingParams, make_requests
from persona_leakage.inference.transformers_engine import TransformersEngine
from persona_leakage.infrastructure.files import read_jsonl_gz, write_json
from persona_leakage.infrastructure.provenance import peak_memory_bytes
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.tables.read import read_pairs

# Short replies: sampling's cost is that of reading the prompts and of so many tokens each.
SAMPLING = SamplingParams(temperature=0.7, top_p=0.95, max_new_tokens=4)
CHUNK = 450


def made_up_prompts(personas):
    """Token ids of as many different prompts as there are personas: the panel's, told apart by a number in front of each."""
    known = make_prompts(111, 1)
    tokenizer, _ = tokenizer_and_format()
    return [
        [*known[index % len(known)][:1], *tokenizer.encode(str(index), add_special_tokens=False), *known[index % len(known)][1:]]
        for index in range(personas)
    ]


def centroids(personas, folder):
    """Hidden states of so many personas' prompts, one question, kept in chunks as extract_centroids keeps them."""
    prompts = made_up_prompts(personas)
    states_of_all(lambda: make_model("smollm2"), prompts, [11, 16, 21, 27], "benchmark", folder, CHUNK)


def sampling_personas(personas, folder):
    """One short reply of so many personas."""
    sample(make_requests([(str(index), "?", ids) for index, ids in enumerate(made_up_prompts(personas))], 1, (0,)), folder)


def sampling_draws(draws, folder):
    """So many short replies of ten personas each."""
    sample(make_requests([(str(index), "?", ids) for index, ids in enumerate(made_up_prompts(10))], draws, (0,)), folder)


def sample(requests, folder):
    """As sample_completions does it, on the base model."""
    tokenizer, chat = tokenizer_and_format()
    engine = TransformersEngine(make_model("smollm2"), tokenizer, chat.stop_ids, CONFIG["engine"]["batch_size"])
    sample_missing(engine.sample, requests, SAMPLING, CHUNK, "benchmark", folder, "replies")
    assert sum(len(read_jsonl_gz(path)) for path in Path(folder).rglob("*.jsonl.gz")) == len(requests)


def statistics_personas(personas, folder):
    """What analyse() makes of a made-up table of pairs alone, of 5 sources and so many personas."""
    correlate(5, personas, folder)


def statistics_sources(sources, folder):
    """What analyse() makes of a made-up table of pairs alone, of so many sources and 111 personas."""
    correlate(sources, 111, folder)


def correlate(sources, personas, folder):
    """analyse() with the default's permutations and bootstraps; leakage follows the cosine with noise."""
    generator = np.random.default_rng(0)
    lines = ["layer,source,persona,category,related,cosine,rate,found,total"]
    for source in range(sources):
        for persona in range(personas):
            if persona != source:
                cosine = generator.uniform(-0.5, 0.9)
                found = generator.binomial(200, 1 / (1 + np.exp(2 - 2 * cosine - generator.normal())))
                lines.append(f"1,p{source},p{persona},c{persona % 5},false,{cosine:.6f},{found / 200},{found},200")
    table = Path(folder) / "pairs.csv"
    table.write_text("\n".join(lines) + "\n")
    analyse(read_pairs(table), 1, Statistics().model_dump())


CASES = {
    ("centroids", "personas"): (centroids, (10, 100, 1000)),
    ("sampling", "personas"): (sampling_personas, (10, 100, 1000)),
    ("sampling", "replies of each"): (sampling_draws, (1, 10, 100)),
    ("statistics", "personas"): (statistics_personas, (10, 100, 1000)),
    ("statistics", "sources"): (statistics_sources, (2, 5, 20)),
}


def measure(stage, axis, size):
    """{seconds, peak memory in MB} of one size, in a process of its own, loading the model included."""
    command = [sys.executable, __file__, "--only", stage, axis, str(size)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def run_here(stage, axis, size):
    """Print what measure() reads."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        CASES[stage, axis][0](int(size), folder)
        seconds = time.perf_counter() - started
    print(f"\n{json.dumps({'size': int(size), 'seconds': seconds, 'megabytes': peak_memory_bytes()['host'] / 1e6})}")


def slopes(points):
    """Seconds and MB for each more, between the second largest size and the largest."""
    small, large = points[-2:]
    return {what: (large[what] - small[what]) / (large["size"] - small["size"]) for what in ("seconds", "megabytes")}


def draw(cases, path):
    """Time and memory against size, a panel for each case."""
    figure, axes = panels(len(cases), width=3.0, height=2.6, columns=3)
    for axis, case in zip(axes, cases, strict=True):
        sizes = [point["size"] for point in case["points"]]
        axis.plot(sizes, [point["seconds"] for point in case["points"]], "o-", color=BLUE, label="seconds")
        axis.plot(sizes, [point["megabytes"] for point in case["points"]], "s--", color=ORANGE, label="peak memory, MB")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(sizes, labels=sizes)
        axis.minorticks_off()
        axis.set_title(case["stage"])
        axis.set_xlabel(case["axis"])
    axes[0].legend(fontsize=7)
    save_figure(figure, path)


def main():
    """Measure all cases, or run one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", help="JSON file to write")
    parser.add_argument("--figure", help="figure to write (.png; .pdf and .svg beside it)")
    parser.add_argument("--only", nargs=3, metavar=("STAGE", "AXIS", "SIZE"), help="run this one in this process")
    args = parser.parse_args()
    if args.only:
        run_here(*args.only)
        return
    cases = []
    for (stage, axis), (_, sizes) in CASES.items():
        points = [measure(stage, axis, size) for size in sizes]
        cases.append({"stage": stage, "axis": axis, "points": points, "for_each_more": slopes(points)})
        print(stage, axis, [f"{point['size']}: {point['seconds']:.1f} s, {point['megabytes']:.0f} MB" for point in points], flush=True)
    write_json(args.output, {"stage": "growth", "cases": cases, **about()})
    draw(cases, args.figure)


if __name__ == "__main__":
    main()
