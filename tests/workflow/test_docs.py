"""The texts keep up with the code."""

import re
import runpy

import jsonschema
import pytest
import yaml
from write_configuration import contents

from persona_leakage.config.reference import all_keys, editor_schema
from tests.conftest import ROOT


def test_the_configuration_page_and_the_editor_schema_are_those_of_the_code():
    stale = [name for name, text in contents(ROOT).items() if (ROOT / name).read_text() != text]
    assert stale == [], "run: make docs"


def test_every_config_key_is_explained():
    """In a sentence, on a page that can be read in ten minutes."""
    text = (ROOT / "docs/configuration.md").read_text()
    for key, field, _, inner in all_keys():
        assert field.description and field.description.endswith("."), key
        assert inner or f"| `{key}` | " in text, key
    assert len(re.findall(r"\w[^\s|]*", text)) <= 2000


def test_the_editor_schema_accepts_the_configs_and_names_a_wrong_value():
    validate = jsonschema.Draft202012Validator(editor_schema()).iter_errors
    small = {"training": {"epochs": 3}, "personas": {"panel": {"extend": ["monk"]}}, "questions": {"training": {"count": 3}}}
    for path in [ROOT / "config.yaml", *(ROOT / "presets").glob("*.yaml")]:
        assert [error.message for error in validate(yaml.safe_load(path.read_text()))] == [], path
    assert list(validate(small)) == []
    for block in ({"epoch": 3}, {"epochs": 0}, {"precision": "int8"}, {"seeds": [1, 1]}):
        assert len(list(validate({"training": block}))) == 1, block


def test_every_rule_calls_the_program_of_its_name():
    for path in (ROOT / "rules").glob("*.smk"):
        text = path.read_text()
        for rule, body in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |^use rule |\Z)", text, re.M | re.S):
            program = "plot_figure" if rule.startswith("plot_") else rule
            assert f"python workflow_scripts/{program}.py" in body, rule
            assert (ROOT / "workflow_scripts" / f"{program}.py").is_file()
            for directive in ("input:", "output:", "conda:", "resources:", "params:"):
                assert re.search(rf"^    {directive}", body, re.M), (rule, directive)


def test_every_figure_rule_draws_the_figure_of_its_name():
    """plot_figure.py gets the name from the output, its code from figure_inputs(NAME)."""
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    rules = re.findall(r"^(?:rule|use rule (\w+) as) plot_(\w+)(?: with)?:\n(.*?)(?=^rule |^use rule |\Z)", text, re.M | re.S)
    for base, name, body in rules:
        assert base == ("" if name == "scatter" else "plot_scatter"), name
        assert re.search(rf'\*\*figure_inputs\(\s*"{name}",', body), name
        assert f'/{name}"),' in body or f'figure("{name}")' in body or f"/{name}.pdf" in body, name
        log = re.search(r"^    log:\n(.*)", body, re.M)  # else name_logs gives it one
        assert log is None or f"/plot_{name}" in log[1], name
    figures = (ROOT / "workflow_scripts/persona_leakage/figures").glob("*.py")
    drawn = [*(name for _, name, _ in rules), "power", "new_sources"]  # which no rule draws
    assert sorted(drawn) == sorted(path.stem for path in figures if "\ndef draw(" in path.read_text())


PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_files_named_in_a_page_exist(page):
    text = (ROOT / page).read_text()
    linked = [(ROOT / page).parent / name for name in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)]
    run = [ROOT / name for name in re.findall(r"(?:python|bash) ((?:workflow_scripts|envs)/\S+)", text)]
    assert [str(path) for path in [*linked, *run] if not path.exists()] == []


@pytest.mark.parametrize("inference", ["inference", "vllm", "vllm-cpu"])
def test_environments_pin_exact_versions_without_contradiction(inference):
    """An environment is made of several files; of those with a model there is one at a time."""
    pins = {}
    for name in ("workflow", inference, "analysis", "slurm", "publishing", "development"):
        for entry in yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]:
            for requirement in entry["pip"] if isinstance(entry, dict) else []:
                package, version = requirement.split("==")
                assert pins.setdefault(package, version) == version, package
    assert {"torch", "transformers", "peft", "snakemake", "scipy", "numpy", "matplotlib"} <= set(pins)


def test_the_diagram_shows_the_files_of_the_rules():
    """The committed picture is what its program draws, and each of its files is declared by a rule."""
    program = runpy.run_path(str(ROOT / "docs/pictures/draw_stages.py"))
    picture = (ROOT / "docs/pictures/stages.svg").read_text()
    assert picture == program["drawing"]()
    rules = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    layer = yaml.safe_load((ROOT / "config.yaml").read_text())["geometry"]["headline_layer"]
    names = [program[name][1] for name in ("POOL", "GEOMETRY", "PAIRS", "STATISTICS", "FIGURE", "REPORT")]
    for name in names + [name for _, name, _ in (*program["OF_SOURCE"], *program["CONTROL"])]:
        declared = name.replace(f"layer{layer}", "layer{layer}").replace("scatter.pdf", "scatter.{kind}")
        assert declared in rules and name in picture, name


def test_a_job_that_a_cluster_runs_again_gets_more_time_and_memory():
    """A second try with the time or the memory that were too little is no use. Light jobs stay on the host that submits."""
    heavy = []
    for path in (ROOT / "rules").glob("*.smk"):
        for rule, body in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |^use rule |\Z)", path.read_text(), re.M | re.S):
            if rule.startswith("plot_") or "localrule: True" in body:
                assert "gpu=" not in body, rule
                continue
            heavy.append(rule)
            assert re.search(r"\*\*more_each_attempt\(mem_mb=\d+, runtime=\d+\),", body), (path.name, rule)
    assert {"sample_completions", "sample_training_pool", "train_adapter", "extract_centroids", "correlate_leakage", "build_report"} <= set(
        heavy
    )


def test_a_rule_derived_from_a_local_rule_is_local():
    """Publishing needs the network, which a cluster's nodes may lack."""
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    made_local = ("plot_", "publish_")
    assert f"each.name.startswith({made_local})".replace("'", '"') in (ROOT / "Snakefile").read_text()
    local = {rule for rule, body in re.findall(r"^rule (\w+):\n((?:(?: .*)?\n)+)", text, re.M) if "    localrule: True" in body}
    derived = re.findall(r"^use rule (\w+) as (\w+)", text, re.M)
    assert ("publish_wandb", "publish_wandb_experiment") in derived and "publish_wandb" in local
    assert [rule for base, rule in derived if (base in local or base.startswith(made_local)) and not rule.startswith(made_local)] == []


def test_messages_in_the_fault_table_are_those_of_the_programs():
    """Backticks in the first column of the table quote messages, with an ellipsis for what varies."""
    table = (ROOT / "docs/operations.md").read_text().split("\n## Faults\n")[1].split("\n## ")[0]
    code = "\n".join(path.read_text() for path in (ROOT / "workflow_scripts").rglob("*.py"))
    seen = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| ")]
    messages = [message for cell in seen for message in re.findall("`([^`]+)`", cell)]
    assert len(messages) > 15
    assert [message for message in messages if not all(part.strip() in code for part in message.split("…"))] == []


def test_the_published_study_is_named_and_linked():
    """In README, fidelity page, report and write-up; the citation file is complete."""
    url, name = "https://github.com/superkaiba/explore-persona-space", "explore-persona-space"
    reporting = "workflow_scripts/persona_leakage/reporting"
    for page in ("README.md", "docs/fidelity.md", f"{reporting}/page/page.html.j2", f"{reporting}/paper/references.bib.j2", "CITATION.cff"):
        text = (ROOT / page).read_text()
        assert url in text and name in text.replace(url, ""), page
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"title", "abstract", "authors", "keywords", "license", "type", "references"} <= set(citation)
    assert [(each["repository-code"], each["title"]) for each in citation["references"]] == [
        (url, "Characterizing Persona Space in Language Models")
    ]
