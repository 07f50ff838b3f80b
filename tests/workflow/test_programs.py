"""Every program as its user calls it, and the small tools they all rest on: files that appear whole, seeds that do not meet."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from persona_leakage.config.personas import read_personas, read_question_sets
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path, digest_of, read_json, read_jsonl_gz, write_json, write_jsonl_gz
from persona_leakage.infrastructure.seeds import derive_seed
from tests.conftest import CONFIG, ROOT, run_program

PROGRAMS = sorted(path.stem for path in (ROOT / "workflow_scripts").glob("*.py"))
WITH_DEFAULTS = {"check_statistics", "plan_run", "show_results", "write_configuration"}
SAMPLE_PATHS = [f"--{name}=x" for name in ("model", "personas", "questions", "restart", "output", "meta")]
SAMPLE_SETTINGS = {
    "personas": {"names": "all", "fields": ["prompt"], "digest": ""},
    "questions": {"set": "evaluation", "count": 1, "digest": ""},
    **{"suffix": "", "seed": 1, "draws": 1, "sampling_seed": 1, "sampling": {}, "engine": {}},
}
WANDB_OPTIONS = ["--settings", json.dumps({"experiment": "tiny", "wandb": {}, "questions": ["evaluation"]})]
# Wrong options: exit code 2 and a word of what is wrong.
BAD_OPTIONS = {
    "settings that are no JSON": ("write_run_config", ["--settings", "{seed: 1", "--output", "x"], "not valid JSON"),
    "settings that are no object": ("write_run_config", ["--settings", "[1]", "--output", "x"], "must be a JSON object"),
    "misspelt key in the settings": ("train_adapter", ["--settings", '{"training": {"epoch": 2}}'], "did you mean epochs?"),
    "unknown key in the settings": ("plot_figure", ["layers", "--settings", '{"layer": 2}'], "unknown key 'layer'"),
    "value in the settings": ("check_robustness", ["--settings", '{"bootstraps": 3}'], "bootstraps: 3 must be >= 200"),
    "missing key in the settings": ("score_leakage", ["--settings", "{}"], "missing key 'personas'"),
    "unknown option": ("plot_figure", ["layers", "--correlation", "x", "--output", "x", "--fast"], "--fast"),
    "adapter without its metrics": (
        "sample_completions",
        ["--settings", json.dumps(SAMPLE_SETTINGS), *SAMPLE_PATHS, "--state", "base", "--adapter", "x"],
        "--adapter-metrics",
    ),
    "adapter to publish without its seed": (
        "publish_wandb",
        [*WANDB_OPTIONS, *(f"--{name}=x" for name in ("results", "run-folders", "files", "output")), "--source", "villain"],
        "--source and --seed",
    ),
    "pairs of one run only": ("compare_seeds", ["--correlations", "x", "y", "--pairs", "x", "--output", "z"], "for each of --correlations"),
    "figure without its input": ("plot_figure", ["layers", "--output", "x.pdf"], "--correlation"),
    "empty path": ("correlate_leakage", ["--pairs", "x", "--output", ""], "argument --output: is empty"),
    "seed that is no number": ("train_adapter", ["--seed", "first"], "--seed"),
}
# Inputs that are not there: exit code 1, one line, no traceback.
BAD_INPUTS = {
    "no config": ("show_results", [], "config.yaml: no such file"),
    "no config to plan": ("plan_run", [], "config.yaml: no such file"),
    "no results": ("show_results", ["--config", str(ROOT / "config.yaml")], "no finished run"),
    "no pairs": (
        "correlate_leakage",
        ["--settings", '{"headline_layer": 1}', "--pairs", "pairs.csv", "--marker-eval", "x", "--output", "y"],
        "pairs.csv: no such file",
    ),
    "unknown figure": ("plot_figure", ["scater", "--output", "x.pdf"], "'scater' is no figure; choose one of adapted_geometry, "),
    "pairs that are a folder": ("check_robustness", ["--pairs", ".", "--output", "y"], ".: is a folder, pipe or device"),
    "pairs that are a device": ("check_robustness", ["--pairs", "/dev/null", "--output", "y"], "/dev/null: is a folder, pipe or device"),
    "a path that colours the terminal": ("check_robustness", ["--pairs", "\x1b[31mx", "--output", "y"], "error: ␛[31mx: no such file"),
    "no model folder": (
        "fetch_model",
        ["--settings", '{"model": {"name": "m", "source": "path", "location": "nowhere"}}', "--manifest", "model.json"],
        "model.location: 'nowhere'",
    ),
}


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory):
    """Where the programs are called."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="session")
def calls(empty_folder):
    """{(program, arguments): finished process} for all calls of this file, a few at a time: most of each is importing torch."""
    wanted = [(program, ("--help",)) for program in PROGRAMS]
    wanted += [(program, ()) for program in PROGRAMS if program not in WITH_DEFAULTS]
    wanted += [(program, tuple(arguments)) for program, arguments, _ in [*BAD_OPTIONS.values(), *BAD_INPUTS.values()]]

    def run(call):
        program, arguments = call
        return run_program(program, *arguments, cwd=empty_folder)

    with ThreadPoolExecutor(max_workers=3) as pool:
        return dict(zip(wanted, pool.map(run, wanted), strict=True))


def test_there_are_programs():
    """An empty list would make the tests below pass in silence."""
    assert {"train_adapter", "score_leakage", "correlate_leakage"} <= set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(calls, program):
    """Usage under the program's own name, and its purpose."""
    done = calls[program, ("--help",)]
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {program} ")
    assert len(done.stdout.splitlines()) > 4


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name not in WITH_DEFAULTS])
def test_no_arguments(calls, program):
    """Usage and what is missing, exit code 2: no program starts to work on guesses."""
    done = calls[program, ()]
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {program} ")
    assert "required" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("program", "arguments", "fragment"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options(calls, program, arguments, fragment):
    """Refused by the parser, before anything is read."""
    done = calls[program, tuple(arguments)]
    assert done.returncode == 2
    assert fragment in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("program", "arguments", "fragment"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_inputs(calls, program, arguments, fragment):
    """A user's mistake is one line and exit code 1; tracebacks are for defects."""
    done = calls[program, tuple(arguments)]
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert fragment in done.stderr
    assert "Traceback" not in done.stderr


def test_refused_calls_leave_nothing_behind(calls, empty_folder):
    """No half result that a later run could take for one."""
    assert calls
    assert list(empty_folder.iterdir()) == []


def test_a_new_file_appears_whole(tmp_path):
    """Folders are made; until the block ends there is nothing at the path."""
    path = tmp_path / "new" / "folder" / "result.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename is atomic within one file system only"
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """And no temporary one that a later run could take for a result."""
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", [".", "..", "/", "folder", "folder/", "file/under"])
def test_a_path_that_cannot_be_a_file_is_named(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"^cannot write {path.rstrip('/') or '/'}: "):
        write_json(path, {})


def test_a_finished_write_replaces_the_old_file(tmp_path):
    """Also when the new content is shorter."""
    path = tmp_path / "result.json"
    write_json(path, {"values": list(range(100))})
    write_json(path, {"rate": 0.5, "name": "Zoë"})
    assert read_json(path) == {"rate": 0.5, "name": "Zoë"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_without_numbers_is_refused(tmp_path, value):
    """NaN is no JSON: other readers fail on it. The old file stays."""
    path = tmp_path / "result.json"
    write_json(path, {"rate": 0.5})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"rate": value})
    assert read_json(path) == {"rate": 0.5}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [None, b"{", b"", b"\xff\xfe\x00", b"[" * 100_000, b"[1]", b'"text"', b"null"],
    ids=["missing", "cut", "empty", "no text", "too deep", "list", "text", "null"],
)
def test_unreadable_json_is_a_users_error(tmp_path, content):
    """With the file's name."""
    path = tmp_path / "result.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"result\.json"):
        read_json(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"personas": {"hero": {}}}, "has no key 'meta'; it has personas"),
        ({"meta": {"program": "correlate_leakage"}}, "is the output of correlate_leakage; expected the output of score_leakage"),
        (
            {"meta": {"program": "score_leakage"}, "layers": 1},
            r"has no key 'personas' \(the output of score_leakage\); it has meta, layers",
        ),
        ({"meta": {"program": "score_leakage"}, "personas": {}}, "has no key 'hero'; it has no keys"),
    ],
)
def test_another_result_than_expected_is_named(tmp_path, content, message):
    """At any depth; the same by the program that was given it."""
    path = tmp_path / "result.json"
    write_json(path, content)
    with pytest.raises(InputError, match=rf"^{path}: {message}"):
        read_json(path, "score_leakage")["personas"]["hero"]


def test_a_program_names_the_side_file_that_is_another_one(tmp_path):
    (tmp_path / "other.json").write_text('{"meta": {"program": "compare_seeds"}}')
    options = ("--pairs", ROOT / "tests/data/published_pairs.csv", "--headline-layer", "20", "--output", "y")
    done = run_program("correlate_leakage", *options, "--marker-eval", "other.json", cwd=tmp_path)
    said = "error: other.json: is the output of compare_seeds; expected the output of score_leakage\n"
    assert (done.returncode, done.stderr) == (1, said) and not (tmp_path / "y").exists()


RECORDS = [{"text": "Zoë\u2028\n", "token_ids": [1, 2]}, {"text": "", "token_ids": []}]


def test_packed_lines_are_stable(tmp_path, monkeypatch):
    """The same records are the same bytes at any time and under any name: digests of them decide what is stale."""
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_jsonl_gz(tmp_path / "first.jsonl.gz", RECORDS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_jsonl_gz(tmp_path / "second.jsonl.gz", iter(RECORDS))
    assert (tmp_path / "first.jsonl.gz").read_bytes() == (tmp_path / "second.jsonl.gz").read_bytes()


def test_packed_lines_are_read_back(tmp_path):
    """Also by anything else that reads gzip and JSON; line separators inside a text are no line ends."""
    path = tmp_path / "records.jsonl.gz"
    write_jsonl_gz(path, RECORDS)
    assert read_jsonl_gz(path) == RECORDS
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == RECORDS
    assert lines[-1] == ""


def test_missing_packed_lines_are_a_users_error(tmp_path):
    """With the file's name."""
    with pytest.raises(InputError, match=r"none\.jsonl\.gz"):
        read_jsonl_gz(tmp_path / "none.jsonl.gz")


def test_digest_is_that_of_the_content():
    """The order of keys is none, the order of a list is."""
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert len({digest_of(value) for value in ([1, 2], [2, 1], ["1", "2"], {"1": 2}, [[1], 2], [12])}) == 6


def test_seeds_depend_on_all_parts():
    """Every part counts, its place counts, and borders between parts cannot slip."""
    cases = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("c", "ab"), (1, 23), (12, 3), ("1:a", "b"), ("1", ":ab")]
    assert len({derive_seed(*case) for case in cases}) == len(cases)
    assert derive_seed("villain", 42) == derive_seed("villain", 42)


def test_seeds_are_pinned():
    """SHA-256 of "2:421:a", first 31 bits: another derivation would change every result of every experiment."""
    assert derive_seed(42, "a") == 0x4BF35DA6 >> 1


def test_seeds_spread_over_their_range():
    """31 bits, which every engine takes; each sixteenth of the range gets its share."""
    seeds = [derive_seed(42, "evaluation", index) for index in range(1600)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    shares = [sum(seed >> 27 == part for seed in seeds) for part in range(16)]
    assert min(shares) > 50 and max(shares) < 150, shares


def overlaps(seeds, width):
    """How many neighbours in value have windows seed .. seed + width - 1 that overlap."""
    ordered = sorted(seeds)
    return sum(after - before < width for before, after in pairwise(ordered))


def test_windows_of_seeds_do_not_meet():
    """An engine may use seed + i for the i-th of ten replies: no reply of the whole study shares its seed with another."""
    personas = read_personas(str(ROOT / CONFIG["personas"]["file"]))
    questions = read_question_sets(str(ROOT / CONFIG["questions"]["file"]))["evaluation"]
    seeds = [derive_seed(42, "evaluation", 0, "villain/42", name, question, 0) for name in personas for question in questions]
    assert len(seeds) == 2220
    assert overlaps(seeds, 10) == 0


def test_windows_of_many_seeds_meet_by_chance_at_most():
    """10,000 windows of ten in 2**31 values: 0.44 overlaps are to be expected; added instead of hashed, nearly all would."""
    assert overlaps([derive_seed(42, "pirate", index) for index in range(10_000)], 10) <= 4
