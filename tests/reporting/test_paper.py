"""The write-up: every number is a macro that its file confirms, nothing missing is dropped, and LaTeX accepts it."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.reporting.paper import PAGES, compile_paper, render_paper, write_paper
from persona_leakage.reporting.paper_macros import TEXTS, Macros, describe_behaviour, escape, macro_name
from tests.conftest import ROOT, copy_of

MACRO = re.compile(r"\\newcommand\{\\(leak[A-Za-z]+)\}\{(.*)\} % (\w+) (\S+) (.*)")
# Numbers of the wording and the layout.
WORDING = re.compile(r"95(\\,|~)?\\%|95 %|Qwen2\.5-7B-Instruct|0\.\d+\\(linewidth|textheight)|4\.5pt|multicolumn\{2\}|\.\d+\.")
FIGURES = ("scatter", "layers", "category_rates")
UNESCAPED = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    r"\textasciigrave{}": "`",
    "-{}": "-",
    "{[}": "[",
    r"~\%": " %",
    r"\ensuremath{-}": "-",
    r"\ensuremath{+}": "+",
    r"\,\%": " %",
}


def read_latex(text):
    """What a macro shows, as plain text."""
    text = re.sub(r"\\ensuremath\{\\times10\^\{(-?\d+)\}\}", r"e\1", text)
    for latex, plain in UNESCAPED.items():
        text = text.replace(latex, plain)
    return re.sub(r"\\([{}$&#%_])", r"\1", text)


def value_of(home, file, keys):
    """The value that a macro's comment names; keys: joined by dots."""
    text = (home / file).read_text(encoding="utf-8")
    value = json.loads(text) if file.endswith(".json") else yaml.safe_load(text)
    value = {**value, "config": with_new_keys(value["config"])} if file == "run_config.yaml" else value
    for key in keys.split("."):
        value = value[int(key) if isinstance(value, list) else key]
    return value


def numbers_in(text):
    """The numbers of a text."""
    return [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?", text)]


def check_macros(home, texts):
    """Each macro shows what its comment's file holds under the key. Returns {name: (text shown, value)}."""
    found = {}
    for line in texts["macros.tex"].splitlines():
        if line.startswith("%"):
            continue
        name, latex, style, file, keys = MACRO.fullmatch(line).groups()
        shown, value = read_latex(latex), value_of(home, file, keys)
        assert name not in found, name
        found[name] = shown, value
        if style in ("noun", "gain"):
            assert shown == getattr(describe_behaviour(value), style)
        elif style == "setting":
            assert isinstance(value, list) or shown in (str(value) or "empty", str(value).lower(), repr(value)[1:-1]), line
        elif value is None:
            assert shown == "--", line
        elif style in TEXTS:
            assert shown == value, line
        else:
            value = [(value[1] - value[0]) / 2] if style.startswith("half") else value if isinstance(value, list) else [value]
            scale = 100 if "percent" in style else 1
            for number, known in zip(numbers_in(shown), value, strict=True):
                tolerance = {"p": 0.06 * abs(known), "count": 0, "two": 0.0051, "interval": 0.0051, "half": 0.0051}.get(style, 0.051)
                assert number == pytest.approx(scale * known, abs=tolerance, rel=0), line
    return found


def check_paper(home, texts):
    """Macros as in check_macros; no other number in the text; braces, macros, labels and citations fit together."""
    found = check_macros(home, texts)
    body = texts["paper.tex"].partition(r"\begin{document}")[2] + texts["tables.tex"]
    body = re.sub(r"(?m)^%.*$", "", body)
    assert set(re.findall(r"\\(leak[A-Za-z]+)", body)) <= set(found)
    listed = [words for group in re.findall(r"\\item No value of ([^:]*):", body) for words in group.split(", ")]
    plain = WORDING.sub("", re.sub(r"\\leak[A-Za-z]+", "", re.sub("No value of [^:]*", "", body)))
    assert [line for line in plain.splitlines() if re.search(r"\d", line)] == []
    for name in ("paper.tex", "tables.tex", "macros.tex", "references.bib"):
        depth = 0
        for brace in re.findall(r"[{}]", re.sub(r"\\[{}]", "", texts[name])):
            depth += 1 if brace == "{" else -1
            assert depth >= 0, name
        assert depth == 0, name
    assert set(re.findall(r"\\ref\{([^}]+)\}", body)) <= set(re.findall(r"\\label\{([^}]+)\}", body))
    assert set(re.findall(r"\\cite\{([^}]+)\}", body)) <= set(re.findall(r"^@\w+\{([^,]+),", texts["references.bib"], re.M))
    missing = {keys for line in texts["macros.tex"].splitlines() if "{--}" in line for keys in [line.split(" ", 3)[3]]}
    assert len(listed) == len(set(listed)) == len(missing)
    assert sum(texts["paper.tex"].count(f"\\leak{word}") for word in ("Answer", "Sentence", "Reason")) >= 3
    shown = {number for text, _ in found.values() for number in numbers_in(text)}
    for line in texts["table.md"].splitlines():
        if line.startswith("| ") and "95 %" not in line:
            assert {*numbers_in(line.split("|", 2)[2])} <= shown, line
    return found


@pytest.mark.parametrize("name", ["smollm2", "smollm2_study"])
def test_every_number_is_that_of_its_file(name):
    home = ROOT / "docs/results" / name
    texts = render_paper(home, FIGURES)
    assert tuple(texts) == PAGES
    found = check_paper(home, texts)
    assert len(found) > 150 and "leakRhoVillain" in found
    assert r"\leakRhoVillain{}" in texts["tables.tex"] and r"\cite{study}" in texts["paper.tex"]


def test_what_is_left_out_or_missing_is_said():
    texts = render_paper(ROOT / "docs/results/smollm2", FIGURES)
    found = check_macros(ROOT / "docs/results/smollm2", texts)
    why = "3 bystander(s) differ in leakage from the rest; at least 5 needed"
    assert found["leakLeftOutAssistant"][0] == found["leakWhyRhoIntervalAssistant"][0] == why
    assert found["leakWhyRhoOverSources"][0] == "2 sources; at least 5 needed"
    assert found["leakAnswerRateAssociation"][0] == "cannot tell" and r"assistant$^*$" in texts["tables.tex"]
    assert "assistant * | 100.0 ± 5.7 | 0.3 | 0.09 | 29 |" in texts["table.md"] and why in texts["table.md"]


def test_mean_scores_have_no_write_up(tmp_path):
    """Its sentences are of shares of replies."""
    (tmp_path / "run_config.yaml").write_text(yaml.safe_dump({"config": {"behaviour": {"kind": "scored", "measure": "mean"}}}))
    with pytest.raises(InputError, match=r"behaviour\.measure: mean; the write-up describes shares of replies: use the report"):
        render_paper(tmp_path, [])


def test_names_and_texts_are_safe_for_latex():
    assert escape('a_b & 5 % {x} \\ #~^$<>|"` [Z] -- é 字\u202e') == (
        r"a\_b \& 5~\% \{x\} \textbackslash{} \#\textasciitilde{}\textasciicircum{}\$\textless{}\textgreater{}\textbar{}"
        r"\textquotedbl{}\textasciigrave{} {[}Z] -{}- é {[}U+5B57]{[}U+202E]"
    )
    assert macro_name("rho software_engineer 2") == "leakRhoSoftwareEngineerTwo"


def test_names_that_differ_in_their_spelling_alone_keep_their_own_macros(tmp_path):
    (tmp_path / "run_config.yaml").write_text("config: {behaviour: {}}")
    (tmp_path / "a.json").write_text('{"a_1": 0.5, "a_one": 0.25}')
    macros = Macros(tmp_path)
    assert [macros.show("two", f"rho {name}", "a.json", name) for name in ("a_1", "a_one", "a_1")] == [
        r"\leakRhoAOne{}",
        r"\leakRhoAOneX{}",
        r"\leakRhoAOne{}",
    ]


def kept_figures(name):
    return [ROOT / f"docs/results/{name}/figures/evaluation/seed42/{figure}.png" for figure in FIGURES]


@pytest.mark.skipif(not (shutil.which("pdflatex") and shutil.which("bibtex")), reason="no LaTeX")
@pytest.mark.parametrize("name", ["smollm2", "smollm2_study"])
def test_latex_accepts_the_write_up(tmp_path, name):
    """Also with any printable character in a reason."""
    home = shutil.copytree(ROOT / "docs/results" / name, tmp_path / "home")
    path = home / "analysis/evaluation/seed42/correlation.json"
    result = json.loads(path.read_text())
    result["verdict"][0]["because"] = "".join(map(chr, [*range(32, 127), *range(160, 256), 0x3C1, 0x5B57, 0x202E, 0x1F600]))
    path.write_text(json.dumps(result))
    write_paper(home, kept_figures(name), tmp_path / "paper")
    assert compile_paper(tmp_path / "paper") is None
    assert (tmp_path / "paper/paper.pdf").read_bytes().startswith(b"%PDF")
    made = {path.relative_to(tmp_path / "paper").as_posix() for path in (tmp_path / "paper").rglob("*.*")}
    assert made == {*PAGES, "paper.pdf", *(f"figures/{figure}.png" for figure in FIGURES)}
    (tmp_path / "paper/macros.tex").write_text("")
    assert "! Undefined control sequence" in compile_paper(tmp_path / "paper")


def test_without_latex_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "pdflatex is not installed (Debian: texlive-latex-recommended)" in compile_paper(tmp_path)


def test_the_rule_writes_the_paper_of_a_finished_run(finished_project, tmp_path):
    project = copy_of(finished_project, tmp_path / "project")
    assert project.planned("paper") == {"write_paper": 1, "paper": 1}
    project.run("--cores", "1", "--", "paper")
    home = project.folder / "results/tiny"
    texts = {name: (home / "paper" / name).read_text(encoding="utf-8") for name in PAGES}
    check_paper(home, texts)
    figures = set(re.findall(r"\\includegraphics\[[^]]*\]\{(figures/\w+)\}", texts["paper.tex"]))
    assert figures == {f"figures/{Path(path).stem}" for path in (home / "paper/figures").glob("*.pdf")} and len(figures) == 4
    assert project.planned("paper") == {}
    template = project.folder / "workflow_scripts/persona_leakage/reporting/paper/paper.tex.j2"
    template.write_text(template.read_text() + "% more\n")
    assert project.planned("paper") == {"write_paper": 1, "paper": 1}
