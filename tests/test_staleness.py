"""What makes no job stale, and what other cuts of the work do; what a change makes stale is in test_staleness_matrix.py."""

import os
import shutil
import subprocess

from persona_leakage.infrastructure.files import read_json, read_jsonl_gz
from tests.conftest import project_at
from tests.stale_jobs import END


def touch_everything(project):
    for path in sorted(project.folder.rglob("*")):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)


def test_touching_everything_makes_nothing_stale(project_copy):
    touch_everything(project_copy)
    assert project_copy.planned() == {}


def test_edited_code_counts_whatever_its_time_until_it_is_accepted(project_copy):
    """As rsync -a and tar bring it: older than the outputs."""
    code = project_copy.folder / "workflow_scripts/persona_leakage/inference/top_p_sampling.py"
    code.write_text(code.read_text() + "ANOTHER = 1\n")
    os.utime(code, (0, 0))
    assert {"sample_training_pool", "sample_completions", "plot_scatter"} <= set(project_copy.planned())
    project_copy.run("--touch", "--cores", "1")
    assert project_copy.planned() == {}


def test_an_edited_page_counts_whatever_its_time(project_copy):
    template = project_copy.folder / "workflow_scripts/persona_leakage/reporting/page/page.html.j2"
    template.write_text(template.read_text() + "<!-- another end -->")
    os.utime(template, (0, 0))
    assert project_copy.planned() == END


def test_touching_large_files_makes_nothing_stale(project_copy):
    """Tables and replies of a large experiment are beyond the size up to which Snakemake compares contents by default."""
    home = project_copy.folder / "results/tiny"
    large = [home / "analysis/evaluation/seed42/cosines.csv", home / "evaluation/evaluation/villain/seed42/completions.jsonl.gz"]
    for path in large:
        with path.open("ab") as file:
            file.write(b"\n" * 2_000_000)
    project_copy.run("--touch", "--cores", "1")
    for path in large:  # what is made of them is older now
        os.utime(path)
    assert project_copy.planned() == {}


def test_a_copy_without_times_has_nothing_stale(project_copy, tmp_path):
    """As cp -r makes it: every file as new as its turn in the copying."""
    shutil.copytree(project_copy.folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert project_at(tmp_path / "copy").planned() == {}


def test_results_beside_a_clone_of_the_code_are_not_stale(project_copy, tmp_path):
    made = ("results", "logs", "benchmarks", ".snakemake", "resources/models")
    (project_copy.folder / ".gitignore").write_text("".join(f"/{name}/\n" for name in made) + "__pycache__/\n")
    git = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-C", str(project_copy.folder)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "code"], check=True)
    subprocess.run(["git", "clone", "--quiet", project_copy.folder, tmp_path / "clone"], check=True)
    for name in made:
        shutil.copytree(project_copy.folder / name, tmp_path / "clone" / name, copy_function=shutil.copyfile)
    assert project_at(tmp_path / "clone").planned() == {}


def lose_a_part(project, persona):
    """Remove the first file of kept replies of the state of a source, told by a token sequence of its completions."""
    texts = {
        record["seed"]
        for record in read_jsonl_gz(project.folder / f"results/tiny/evaluation/evaluation/{persona}/seed42/completions.jsonl.gz")
    }
    parts = (path for path in sorted((project.folder / "results/.kept/replies").rglob("*.jsonl.gz")))
    next(path for path in parts if {record["seed"] for _, record in read_jsonl_gz(path)} <= texts).unlink()


def test_several_adapters_in_one_job_give_the_files_of_one_each(project_copy):
    """Another way to cut the work into jobs: finished replies are taken from their restart points, and a lost part comes back the same."""
    home = project_copy.folder / "results/tiny"
    files = [home / f"evaluation/evaluation/{source}/seed42/completions.jsonl.gz" for source in ("villain", "comedian")]
    before = [path.read_bytes() for path in files]
    lose_a_part(project_copy, "comedian")
    project_copy.edit_config(evaluation__adapters_per_job=2)
    assert project_copy.planned("evaluations") == {"sample_completions_1": 1, "score_leakage": 2, "evaluations": 1}
    log = project_copy.run("--cores", "1").stdout
    assert "replies villain/seed42: 24 of 24 replies are kept" in log and "replies comedian/seed42: 16 of 24 replies are kept" in log
    assert [path.read_bytes() for path in files] == before
    states = [read_json(path.parent / "completions.json")["meta"]["state"] for path in files]
    assert states == ["villain/seed42", "comedian/seed42"]
    assert project_copy.planned() == {}


def test_a_lost_figure_is_one_job(project_copy):
    for path in (project_copy.folder / "results/tiny/figures").rglob("scatter.*"):
        path.unlink()
    assert project_copy.planned("scatter") == {"plot_scatter": 1, "scatter": 1}
    project_copy.run("--cores", "1", "scatter")
    assert project_copy.file("results/tiny/figures/*/seed42/scatter.pdf").stat().st_size > 0


def test_an_edited_figure_is_one_job(project_copy):
    """All figures have the same program; only the module of its own counts for each."""
    for name in ("scatter", "layers"):
        path = project_copy.folder / f"workflow_scripts/persona_leakage/figures/{name}.py"
        text = path.read_text()
        path.write_text(text + "\nedited = 1\n")
        assert project_copy.planned() == {f"plot_{name}": 1, **END}
        path.write_text(text)
