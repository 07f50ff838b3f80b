"""The report: every number stands in a result file, model text is text, the page is one file of bearable size."""

import json
import re
import shutil
import time
from html.parser import HTMLParser

import pytest
import yaml

from persona_leakage.figures.style import words
from persona_leakage.infrastructure.files import write_json
from persona_leakage.statistics.comparisons.predictors import compare_predictors
from persona_leakage.statistics.comparisons.training_seeds import compare_seeds
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.controls import describe_controls
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT, run_program
from tests.support.made_up_results import EVEN, make_results
from tests.support.synthetic import QUICK

HOSTILE = [
    "<script>document.title = 'run'</script>",
    "</script><script>document.title = 'run'</script>",
    "<!-- <img src=x onerror=\"document.title='run'\"> -->",
    "quotes \" ' ` and ${document.title='run'} {{ 7 * 7 }}",
    "\u202eright to left\u2069 and \u200bnothing",
    "\x1b[31mred\x1b[0m \x00 \x07 bell",
    "long " * 2_000,
]
# Numbers that are part of the wording, not results.
WORDING = re.compile(r"95 %|Qwen2\.5-7B-Instruct|R²")


class Page(HTMLParser):
    """Collects the <data> elements and the text outside of them, of code and of preformatted blocks."""

    SILENT = ("script", "style", "pre", "code", "data", "title", "figcaption", "b")

    def __init__(self, text):
        super().__init__()
        self.found, self.prose, self.silent, self.depth, self.skipped = [], [], [], 0, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "data":
            self.found.append([attributes, ""])
        if tag in self.SILENT:
            self.silent.append(tag)
        if tag == "div":
            self.depth += 1
            if attributes.get("class") == "reply" and self.skipped is None:
                self.skipped = self.depth

    def handle_endtag(self, tag):
        if self.silent and tag == self.silent[-1]:
            self.silent.pop()
        if tag == "div":
            if self.skipped == self.depth:
                self.skipped = None
            self.depth -= 1

    def handle_data(self, text):
        if self.silent and self.silent[-1] == "data":
            self.found[-1][1] += text
        elif not self.silent and self.skipped is None:
            self.prose.append(text)


@pytest.fixture(scope="module")
def tiny_page(finished_project):
    return finished_project.folder / "results/tiny/report/index.html"


def check_numbers(page, home):
    """Every <data> says what its file says, to the digits it shows; no other number stands in the prose."""
    shown = Page(page.read_text())
    checked = 0
    for attributes, text in shown.found:
        if "data-file" not in attributes:
            continue
        value = json.loads((home / attributes["data-file"]).read_text())
        for key in json.loads(attributes["data-keys"]):
            value = value[key]
        checked += 1
        if value is None:
            assert text == "–"
        elif isinstance(value, str):
            assert text == value
        else:
            numbers = [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]\d+)?", text)]
            scale = 100 if "%" in text else 1
            for number, known in zip(numbers, value if isinstance(value, list) else [value], strict=True):
                assert number == pytest.approx(scale * known, abs=0.0051 if scale == 1 and "e" not in text else 0.051, rel=0.06), attributes
    loose = [text.strip() for text in shown.prose if re.search(r"\d", WORDING.sub("", text))]
    return checked, loose


def test_every_number_stands_in_a_result_file(tiny_page, finished_project):
    checked, loose = check_numbers(tiny_page, finished_project.folder / "results/tiny")
    assert checked > 100
    # names of blocks in the layer table, the title's seed, and questions that hold a number
    assert [text for text in loose if not re.fullmatch(r"[13]\*?|.*training seed 42.*|.*\?", text)] == []


@pytest.fixture(scope="module", params=[40, pytest.param(200, marks=pytest.mark.slow)])
def full_size(request, tmp_path_factory):
    """(page, home, seconds): 5 sources x 111 personas x so many replies, hostile ones among them; published are 200."""
    home = tmp_path_factory.mktemp("full") / "results/made_up"
    make_results(home, per_question=request.param // 20, hostile=HOSTILE)
    started = time.monotonic()
    build(home)
    return home.parents[1] / "index.html", home, time.monotonic() - started


def build(home):
    arguments = ["--settings", "{}", "--results", home, "--benchmarks", home / "none", "--personas", ROOT / "resources/personas.yaml"]
    outputs = ["--output", home.parents[1] / "index.html", "--facts", home / "report/facts.json"]
    done = run_program("build_report", *arguments, "--published", ROOT / "resources/published.json", *outputs, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_report_of_the_published_size(full_size, request):
    page, home, seconds = full_size
    assert seconds < 60
    assert page.stat().st_size < 8_000_000
    checked, _ = check_numbers(page, home)
    assert checked > 300
    facts = json.loads((home / "report/facts.json").read_text())
    replies = request.node.callspec.params["full_size"]
    assert 1 <= facts["explorer"]["replies_per_cell"] < replies, "a sample, and the page says so"


@pytest.fixture(scope="module")
def with_axes(tmp_path_factory):
    """(page, home) of a small experiment with two training seeds and the predictor comparison."""
    home = tmp_path_factory.mktemp("axes") / "results/made_up"
    config, pairs = make_results(home, per_question=1, words=5)
    config["training"]["seeds"], config["analysis"]["predictors"] = [42, 7], True
    (home / "run_config.yaml").write_text(yaml.safe_dump({"meta": {}, "config": config}))
    for folder in sorted(home.rglob("seed42")):
        shutil.copytree(folder, folder.with_name("seed7"))
    analysis, runs, matrices = home / "analysis/evaluation", [], matrices_of(pairs)
    for seed in (42, 7):
        path = analysis / f"seed{seed}/correlation.json"
        content = json.loads(path.read_text())
        content["meta"] |= {"training_seed": seed, "sampling_seed": 0}
        for source, block in content["leakage"].items():
            for index, cell in enumerate(block["cells"].values()):
                cell["rate"] = abs(cell["rate"] - 0.002 * (index % (seed % 5)))
            content["noise_ceiling"][source]["samples"]["ceiling"] = 0.9
        write_json(path, content)
        runs.append(content)
        write_json(analysis / f"seed{seed}/predictors.json", {"headline_layer": 20, **compare_predictors(matrices, 20, QUICK)})
    counts = {"found": matrices.found[..., None], "total": matrices.total[..., None]}
    write_json(analysis / "seeds.json", compare_seeds(runs, [(matrices, counts)] * 2))
    build(home)
    return home.parents[1] / "index.html", home


def test_the_sections_of_the_axes_are_there_with_their_numbers(with_axes):
    page, home = with_axes
    checked, _ = check_numbers(page, home)
    files = {attributes.get("data-file") for attributes, _ in Page(page.read_text()).found}
    assert {"analysis/evaluation/seeds.json", "analysis/evaluation/seed42/predictors.json"} <= files and checked > 350
    text = page.read_text()
    assert 'id="seeds"' in text and 'id="predictors"' in text


@pytest.fixture(scope="module")
def with_base_rates(tmp_path_factory):
    """(page, home) of a small experiment in which the base model shows the behaviour."""
    home = tmp_path_factory.mktemp("began") / "results/made_up"
    make_results(home, per_question=1, words=5, began=True)
    build(home)
    return home.parents[1] / "index.html", home


def test_where_the_personas_began_has_a_section_with_its_numbers(with_base_rates):
    page, home = with_base_rates
    check_numbers(page, home)
    text = page.read_text()
    assert 'id="beginnings"' in text and 'href="#beginnings"' in text
    section = text[text.index('id="beginnings"') : text.index('id="layers"')]
    shown = {tuple(json.loads(attributes["data-keys"])): number for attributes, number in Page(section).found if "data-keys" in attributes}
    result = json.loads((home / "analysis/evaluation/seed42/correlation.json").read_text())
    for source, change in result["signed_change"].items():
        assert shown["signed_change", source, "risen"] == str(change["risen"])
        assert shown["signed_change", source, "fallen"] == str(change["fallen"])
        assert float(shown["even_spread", source, "sd"]) == pytest.approx(result["even_spread"][source]["sd"], rel=0.06)
    partial = result["layers"]["20"]["base_confound"]["per_source"]
    assert set(partial) == {*result["signed_change"]} - {EVEN}
    for source, block in partial.items():
        key = ("layers", "20", "base_confound", "per_source", source, "partial")
        assert float(shown[key]) == pytest.approx(block["partial"], abs=0.0051)
    row = section[section.index(words(EVEN)) :]
    assert 'data-label="spreads evenly">yes</td>' in row[: row.index("</tr>")]


def test_an_undefined_base_confound_says_why(with_base_rates, tmp_path):
    shutil.copytree(with_base_rates[1], tmp_path / "results/made_up")
    home = tmp_path / "results/made_up"
    path = home / "analysis/evaluation/seed42/correlation.json"
    content = json.loads(path.read_text())
    content["layers"]["20"]["base_confound"] = {"per_source": None, "partial": None, "explained": None, "undefined": "made up reason"}
    content["even_spread"]["villain"] = {**dict.fromkeys(("sd", "sd_by_chance", "p", "p_holm", "even")), "undefined": "another reason"}
    write_json(path, content)
    build(home)
    text = (tmp_path / "index.html").read_text()
    assert re.search(r"Not computed: <data[^>]*>made up reason</data>", text)
    assert re.search(r"villain is not tested: <data[^>]*>another reason</data>", text)


def test_controls_have_a_section_with_their_numbers(with_base_rates, tmp_path):
    """Without the clean control, the section on base rates says what that means."""
    shutil.copytree(with_base_rates[1], tmp_path / "results/made_up")
    home = tmp_path / "results/made_up"
    path = home / "analysis/evaluation/seed42/correlation.json"
    pairs = read_pairs(path.with_name("pairs.csv"))
    pairs = pairs.assign(clean_rate=pairs["base_rate"], source_clean_rate=pairs["source_base_rate"], source_total=200)
    write_json(path, json.loads(path.read_text()) | {"controls": describe_controls(pairs, 20, {})})
    build(home)
    check_numbers(tmp_path / "index.html", home)
    text, without = (tmp_path / "index.html").read_text(), with_base_rates[0].read_text()
    assert 'id="controls"' in text and "and does not exclude zero (0.00," in text and "adapter minus clean" in text
    said = "Without clean control adapters"
    assert said in without and said not in text and 'id="controls"' not in without


def test_without_base_rates_there_is_no_such_section(full_size):
    text = full_size[0].read_text()
    assert "beginnings" not in text and "Where the personas began" not in text


def test_model_text_is_never_markup(full_size):
    """In the page itself; the explorer's texts are packed and only ever become text nodes."""
    text = full_size[0].read_text()
    assert text.count("<script") == text.count("</script>") == 3
    assert "<img src=x" not in text and "\x1b" not in text and "\u202e" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "http://" not in re.sub(r"(?s)<script.*?</script>|<pre>.*?</pre>", "", text), "nothing is loaded from elsewhere"


def test_two_builds_are_alike(full_size):
    page, home, _ = full_size
    before = page.read_text()
    build(home)
    assert page.read_text() == before
