"""A write-up of a finished experiment: LaTeX with tables, figures and references, and a table in Markdown."""

import shutil
import subprocess
import tempfile
from itertools import product
from pathlib import Path

import jinja2

from persona_leakage.behaviours.training_check import unlearned_sources
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path
from persona_leakage.reporting.html_page import caption_of
from persona_leakage.reporting.paper_macros import Macros, describe_behaviour, escape
from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN, RATE

TEMPLATES = Path(__file__).parent / "paper"
# In this order, because the write-up ends with what was missing in the others.
PAGES = ("tables.tex", "table.md", "references.bib", "paper.tex", "macros.tex")
# {name in meta.packages: (name in sentences, key in references.bib)}
LIBRARIES = {
    "torch": ("PyTorch", "pytorch"),
    "transformers": ("Transformers", "transformers"),
    "peft": ("PEFT", "peft"),
    "vllm": ("vLLM", "vllm"),
    "numpy": ("NumPy", "numpy"),
    "scipy": ("SciPy", "scipy"),
    "snakemake": ("Snakemake", "snakemake"),
}


def write_paper(home, figures, folder):
    """Write PAGES and the figures of an experiment's results below home to a folder; figures: paths of files for \\includegraphics."""
    folder, names = Path(folder), [Path(path).stem for path in figures]
    for path in figures:
        with atomic_path(folder / "figures" / Path(path).name) as temporary:
            shutil.copyfile(path, temporary)
    for name, text in render_paper(home, names).items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def render_paper(home, figures):
    """{name of PAGES: text}; figures: names, such as "scatter", in their order."""
    macros = Macros(home)
    if macros.config["behaviour"].get("measure") == "mean":
        raise InputError("behaviour.measure: mean; the write-up describes shares of replies: use the report, or measure: share")
    environment = jinja2.Environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"tex": escape, "plain": lambda name: name.replace("_", " ")}
    environment.globals |= {"n": flat_keys(macros.show), "text": flat_keys(macros.text), "cfg": macros.setting, "value": macros.value}
    facts = collect(macros) | {"captions": {name: caption_of(name) for name in figures}}
    return {name: environment.get_template(f"{name}.j2").render(facts, macros=macros) for name in PAGES}


def flat_keys(show):
    """The function of a template: a style, the words of a name, a file, and keys, of which several may come as one tuple."""
    return lambda style, words, file, *keys: show(
        style, words, file, *(each for key in keys for each in (key if isinstance(key, tuple) else (key,)))
    )


def collect(macros):
    """What the templates go through, from the result files: runs, sources, and which parts there are."""
    config = macros.config
    pairs = product([use["set"] for use in config["questions"]["evaluation"]], enumerate(config["training"]["seeds"]))
    runs = [describe_run_of(macros, questions, place, seed) for questions, (place, seed) in pairs]
    first = {**runs[0], "words": ""}
    base = macros.value(first["base"])
    metrics = f"training/{first['sources'][0]}/seed{first['seed']}/metrics.json"
    packages = {}  # of the engine that sampled, else of training
    for file, keys in ((metrics, ("packages",)), (first["base"], ("engine", "packages"))):
        packages |= {name: (name, file, keys) for name in within(macros.value(file, "meta"), keys)}
    return {
        "config": config,
        "runs": [first, *runs[1:]],
        "run": first,
        "metrics": metrics,
        "settings": list(leaves(config)),
        "sampled": "mean_tokens" in base,
        "answers": "replies" if "mean_tokens" in base else "answers",
        "gain": describe_behaviour(base["meta"]).gain if LOGPROB_GAIN in [name for name, _ in first["outcomes"]] else None,
        "hardware": [key for key in ("gpu", "processor") if key in macros.value(metrics, "meta", "hardware")],
        "libraries": [(*LIBRARIES[name], packages[name]) for name in LIBRARIES if name in packages],
        "controls": macros.value(first["file"]).get("controls", {}),
        "published": macros.value("report/facts.json", "published"),
        "seeds": f"analysis/{first['questions']}/seeds.json" if len(config["training"]["seeds"]) > 1 else None,
    }


def describe_run_of(macros, questions, place, seed):
    """One question set and training seed, at a place in the list of seeds: its files, layers, sources and answers.

    words: begin the names of its macros; the first run's have none. left_out: {source: keys of the reason}.
    """
    folder = f"analysis/{questions}/seed{seed}"
    file = f"{folder}/correlation.json"
    result = macros.value(file)
    gain = result["outcomes"][LOGPROB_GAIN]
    outcomes = [(RATE, ("verdict",)), *([] if gain["undefined"] else [(LOGPROB_GAIN, ("outcomes", LOGPROB_GAIN, "verdict"))])]
    return {
        "questions": questions,
        "seed": seed,
        "place": place,
        "words": f"{questions} seed {seed} ",
        "file": file,
        "robustness": f"{folder}/robustness.json",
        "base": f"evaluation/{questions}/base/summary.json",
        "layer": str(result["headline_layer"]),
        "layers": list(result["layers"]),
        "sources": list(result["training_check"]),
        "left_out": {name: ("training_check", name, "why") for name in unlearned_sources(result["training_check"])}
        | {name: ("joint", "sources_left_out", name) for name in result["joint"]["sources_left_out"]},
        "outcomes": outcomes,
        "claims": {name: {entry["id"]: place for place, entry in enumerate(macros.value(file, *keys))} for name, keys in outcomes},
        "holm": list(result["holm"]),
    }


def within(block, keys):
    """The value under nested keys of dictionaries, {} if there is none."""
    for key in keys:
        block = block.get(key, {})
    return block


def leaves(block, keys=()):
    """The keys of each value of nested dictionaries, and of lists of them, in order."""
    parts = block.items() if isinstance(block, dict) else enumerate(block) if is_list_of_blocks(block) else None
    if parts is None:
        yield keys
        return
    for key, value in parts:
        yield from leaves(value, (*keys, key))


def is_list_of_blocks(value):
    """Whether a value is a list with dictionaries."""
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def compile_paper(folder):
    """Make paper.pdf of a folder's paper.tex with pdfLaTeX and BibTeX. Returns None, or why there is none."""
    folder = Path(folder)
    if missing := [name for name in ("pdflatex", "bibtex") if not shutil.which(name)]:
        return f"{missing[0]} is not installed (Debian: texlive-latex-recommended)"
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"]
    with tempfile.TemporaryDirectory() as temporary:
        work = shutil.copytree(folder, Path(temporary) / "paper")
        for command in (latex, ["bibtex", "paper"], latex, latex):
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
            if done.returncode:
                lines = done.stdout.splitlines()
                return next((line for line in lines if line.startswith("!")), " ".join(lines[-1:])) + f" (from {' '.join(command)})"
        with atomic_path(folder / "paper.pdf") as made:
            shutil.copyfile(work / "paper.pdf", made)
    return None
