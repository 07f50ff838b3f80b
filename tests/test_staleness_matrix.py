"""Everything a user can change against every stage: docs/staleness.md says what is rebuilt, and Snakemake must agree."""

import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest
import yaml

from persona_leakage.config.reference import all_keys
from tests.conftest import ROOT, jobs_of, project_at
from tests.staleness_changes import EDITS, MORE_QUESTIONS, NEW_VALUES

TABLE = ROOT / "docs/staleness.md"
FIGURES = r"plot_(\w+)"
# Each column of the table, and the rules that it stands for.
COLUMNS = {
    "model": "fetch_model",
    "config": "write_run_config",
    "pool": "sample_training_pool",
    "rows": "build_training_set",
    "adapters": "train_adapter",
    "replies": r"sample_completions(_\d+)?",
    "base replies": "sample_base_completions",
    "scores": "score_leakage",
    "base scores": "score_base_leakage",
    "centroids": "extract_centroids",
    "training centroids": "extract_training_centroids",
    "pairs": "tabulate_pairs",
    "statistics": "correlate_leakage",
    "robustness": "check_robustness",
    "seeds": "compare_seeds",
    "figures": FIGURES,
    "report": "build_report",
    "inspect": "export_inspect",
}
TARGETS = ["all", "inspect"]
# Rules of axes that are off here, and of other targets, by the test module that has their dry runs.
ELSEWHERE = {
    "test_finer_workflow": (
        *("extract_adapted_centroids", "compare_geometries", "plot_adapted_geometry"),
        *("teacher_force", "teacher_force_base", "compare_measures", "plot_measures"),
    ),
    "test_panels": (
        *("compare_question_sets", "plot_question_sets", "describe_wordings", "plot_wordings"),
        *("extract_variant_centroids", "sample_base_variants", "sample_variants", "describe_variants", "plot_variants"),
    ),
    "test_sweep": ("extract_sweep", "correlate_sweep", "plot_sweep"),
    "test_league": ("measure_divergence", "compare_predictors", "plot_predictors"),
    "test_comparison": ("compare_experiments", "plot_comparison", "build_comparison"),
    "test_publishing": ("publish_wandb", "publish_wandb_experiment", "publish_hub"),
    "test_archive": ("archive_tables",),
}
OF_AXES = {rule for rules in ELSEWHERE.values() for rule in rules}
# Results of TARGETS that the finished experiment of one seed has not: only their names matter here.
STATES = ("base", "villain/seed42", "villain/seed7", "comedian/seed42", "comedian/seed7")
MADE_UP = [
    "analysis/evaluation/seeds.json",
    *(f"figures/evaluation/seed_stability.{kind}" for kind in ("pdf", "png", "svg")),
    *(f"inspect/evaluation/{state}.eval" for state in STATES),
]
WORKERS = 2
# Parts of the project whose files must all stand in the table.
PARTS = ("envs", "presets", "profiles", "resources", "rules", "workflow_scripts")


def table_rows():
    """{change: {column: cell}} of docs/staleness.md; a line of it may name several changes."""
    rows, header = {}, None
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            continue
        first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if first == "change":
            header = cells
        elif not set(first) <= set("- "):
            for change in re.findall("`([^`]+)`", first):
                assert change not in rows, f"{change} stands twice in {TABLE.name}"
                rows[change] = dict(zip(header, cells, strict=True))
    return rows


ROWS = table_rows()


def config_change(project, key):
    """The files that give ``key`` another value (see NEW_VALUES)."""
    config = yaml.safe_load((project.folder / "config.yaml").read_text())
    new = NEW_VALUES[key]
    *blocks, last = key.split(".")
    if callable(new):
        new = new(config)
        if last != "embedding_model":  # a function otherwise makes the whole block
            last = blocks.pop()
    block = config
    for name in blocks:
        block = block[name]
    assert block.get(last) != new, key
    block[last] = new
    questions = (project.folder / "resources/questions.yaml").read_text()
    return {
        "config.yaml": yaml.safe_dump(config, sort_keys=False),
        "copy of personas.yaml": (project.folder / "resources/personas.yaml").read_text(),
        "copy of questions.yaml": questions,
        "resources/questions.yaml": questions + MORE_QUESTIONS,
    }


def pin_change(project, package, name):
    """The environment file with another version of ``package``, or of all that the table does not name ("other packages")."""
    text = (project.folder / name).read_text()
    pinned = re.findall(r"- ([^ ]+)==", text)
    packages = [other for other in pinned if f"{other} of {name}" not in ROWS] if package == "other packages" else [package]
    assert packages and set(packages) <= set(pinned), name
    for one in packages:
        text = re.sub(rf"- {re.escape(one)}==\S+", f"- {one}==0.0.1", text)
    return {name: text}


def files_of(project, change):
    """{path: text} that makes a change of the table in a project; a path alone is an edit that only its bytes show."""
    if change in NEW_VALUES:
        return config_change(project, change)
    if change in EDITS:
        name, old, new = EDITS[change]
        text = (project.folder / name).read_text()
        assert text.count(old) == 1, change
        return {name: text.replace(old, new)}
    if found := re.fullmatch(r"(.+) of (envs/\S+\.yaml)", change):
        return pin_change(project, *found.groups())
    text = (project.folder / path_of(change)).read_text()
    return {path_of(change): f"{text}\n{'' if change.endswith('.json') else 'edited = 1' if change.endswith('.py') else '# edited'}\n"}


def path_of(change):
    """The file of the project that the table names, if need be below workflow_scripts/."""
    return change if (ROOT / change).is_file() else f"workflow_scripts/{change}"


def stages_of(jobs):
    """{column: {rule: jobs}} of a dry run's {rule: jobs}; what an axis adds when it is switched on stands in no column."""
    own = {rule: count for rule, count in jobs.items() if rule not in OF_AXES}
    return {column: {rule: count for rule, count in own.items() if re.fullmatch(rules, rule)} for column, rules in COLUMNS.items()}


def expected_jobs(cell, everything):
    """{rule: jobs} that a cell means, given those of a run of everything. x: all; a number: so many of each rule; else figures."""
    if cell.isdigit():
        return dict.fromkeys(everything, int(cell))
    if cell in ("", "x"):
        return everything if cell else {}
    names = {f"plot_{name}" for name in cell.removeprefix("not ").split(", ")}
    assert names <= set(everything), cell
    return {rule: count for rule, count in everything.items() if (rule in names) != cell.startswith("not ")}


def finish_two_seeds(finished, folder):
    """A finished experiment of two training seeds, with the exports, made of a finished one of one seed by copies and --touch."""
    shutil.copytree(finished.folder, folder, copy_function=shutil.copy2)
    project = project_at(folder)
    project.edit_config(training__seeds=[42, 7])
    for path in sorted((folder / "results/tiny").rglob("seed42")):
        shutil.copytree(path, path.with_name("seed7"))
    for name in MADE_UP:
        (folder / "results/tiny" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "results/tiny" / name).write_text(name)
    # --forceall, because --touch alone leaves files without a record whose time is right.
    project.run("--touch", "--forceall", "--cores", "1", *TARGETS)
    return project


@pytest.fixture(scope="module")
def projects(finished_project, tmp_path_factory):
    """Finished projects of two seeds, one for each worker."""
    home = tmp_path_factory.mktemp("matrix")
    first = finish_two_seeds(finished_project, home / "0")
    others = [shutil.copytree(first.folder, home / str(number), copy_function=shutil.copy2) for number in range(1, WORKERS)]
    return [first, *(project_at(folder) for folder in others)]


class DryRuns:
    """A process of tests/dry_runs.py in a project."""

    def __init__(self, project):
        self.project = project
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests/dry_runs.py"], cwd=project.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, files, *arguments):
        """{rule: jobs} of a dry run with these files."""
        self.process.stdin.write(json.dumps({"files": files, "arguments": [*arguments, *TARGETS]}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["code"] == 0, answer["output"]
        return jobs_of(answer["output"])

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


def kind_of(change):
    """Key of the config, text of a data file, version of a package, or file."""
    return "key" if change in NEW_VALUES else "text" if change in EDITS else "package" if " of envs/" in change else "file"


def some_of(changes):
    """Of the changes the first of every kind that makes something stale, and one for every fourth set of stages."""
    stages = {tuple(column for column, cell in ROWS[change].items() if cell): change for change in reversed(changes)}
    kinds = {kind_of(change): change for change in reversed(changes) if any(ROWS[change].values())}
    return [change for change in changes if change in {*kinds.values(), *list(stages.values())[::4]}]


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.slow)])
def outcomes(projects, request):
    """{change: {rule: jobs}} of changes of the table; "everything" and "nothing" are those of a run of all, and of no change."""
    runs = [DryRuns(project) for project in projects]
    free = SimpleQueue()
    for run in runs:
        free.put(run)
    # Files whose edits make nothing stale are edited together: if that makes something stale, it is the fault of one of them.
    alone = [change for change, cells in ROWS.items() if any(cells.values()) or change in EDITS or change in NEW_VALUES]
    together = [change for change in ROWS if change not in alone]
    alone = alone if request.param == "all" else some_of(alone)

    def outcome(changes):
        run = free.get()
        try:
            files = [files_of(run.project, change) for change in changes]
            assert len({path for some in files for path in some}) == sum(map(len, files)), "two changes of one file"
            return run({path: text for some in files for path, text in some.items()})
        finally:
            free.put(run)

    found = {"everything": runs[0]({}, "--forceall"), "nothing": runs[0]({})}
    with ThreadPoolExecutor(WORKERS) as pool:
        found |= zip(alone, pool.map(outcome, [[change] for change in alone]), strict=True)
        found |= dict.fromkeys(together, outcome(together))
    found["nothing again"] = runs[0]({})
    for run in runs:
        run.close()
    return found


def test_a_change_makes_stale_what_the_table_says(outcomes):
    assert outcomes["nothing"] == outcomes["nothing again"] == {}
    everything = stages_of(outcomes["everything"])
    wrong = []
    for change, cells in ((change, ROWS[change]) for change in ROWS if change in outcomes):
        for column, rules in stages_of(outcomes[change]).items():
            expected = expected_jobs(cells[column], everything[column])
            if sum(rules.values()) != sum(expected.values()) or (column == "figures" and rules != expected):
                wrong.append(f"{change}: {column}: the table says {cells[column] or 'nothing'} {expected}, Snakemake {rules}")
    assert wrong == []


def test_every_key_of_the_config_is_in_the_table():
    """But those of the entries of personas.add and of the extension of a panel."""
    keys = {key for key, _, schema, inner in all_keys() if not inner or schema.get("type") == "array"} | {"personas.panel"}
    keys -= {key for key in keys if key.startswith(("personas.add.", "personas.panel."))}
    assert keys == set(NEW_VALUES)
    assert set(NEW_VALUES) <= set(ROWS)


def test_every_file_of_the_project_is_in_the_table():
    files = {"Snakefile"}
    for path in (path for part in PARTS for path in (ROOT / part).rglob("*.*")):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and "__pycache__" not in name and not name.startswith("resources/models/"):
            files.add(name)
    pinned = {change.rsplit(" of ", 1)[-1] for change in ROWS if " of envs/" in change}
    listed = {path_of(change) for change in ROWS if change not in NEW_VALUES and change not in EDITS and " of envs/" not in change}
    assert listed | pinned == files
    assert {f"other packages of {name}" for name in pinned} <= set(ROWS)


def test_every_rule_has_a_column(outcomes):
    rules = set(outcomes["everything"]) - set(TARGETS)
    assert {rule for rule in rules if not any(re.fullmatch(pattern, rule) for pattern in COLUMNS.values())} == set()
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    declared = set(re.findall(r"^(?:use rule \w+ as|rule) (\w+)", text, re.M))
    assert declared <= rules | OF_AXES, "a rule that no target of the matrix asks for, nor a test elsewhere"
    assert declared - rules >= OF_AXES
    for module, names in ELSEWHERE.items():
        assert [name for name in names if name not in (ROOT / f"tests/{module}.py").read_text()] == []
