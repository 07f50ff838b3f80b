"""Programs that need a tokenizer and JSON import neither torch nor SciPy; the tokenizer is the one that transformers would choose."""

import json
import subprocess
import sys

import pytest
from scipy import stats
from transformers import AutoTokenizer

from persona_leakage.infrastructure.intervals import wilson_interval
from persona_leakage.models.loading import load_tokenizer
from tests.conftest import ROOT, make_tiny_model

HEAVY = ("torch", "scipy", "sklearn", "pandas", "matplotlib")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """A folder whose tokenizer is of Qwen2's class."""
    folder = tmp_path_factory.mktemp("qwen")
    make_tiny_model(folder, "Qwen2")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": "Qwen2Tokenizer"}))
    return folder


def imported(code):
    """Those of HEAVY that a Python has imported after ``code``."""
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'workflow_scripts')!r})\n{code}\nprint([n for n in {HEAVY} if n in sys.modules])"
    return json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.replace("'", '"'))


def test_scores_and_rows_import_nothing_heavy(qwen):
    """Also with a tokenizer of Qwen2's class, for which AutoTokenizer would import torch."""
    code = "import score_leakage, build_training_set\nfrom persona_leakage.models.loading import load_tokenizer"
    assert imported(f"{code}\nload_tokenizer({str(qwen)!r})") == []


def test_a_tokenizer_of_qwen_is_that_of_transformers(qwen):
    found, expected = load_tokenizer(qwen), AutoTokenizer.from_pretrained(qwen)
    assert type(found) is type(expected) and found.get_vocab() == expected.get_vocab()
    turns = [{"role": "user", "content": "It's 1984:  naïve, 12 ½ times!\n\n[ZLT]"}]
    assert found.apply_chat_template(turns)["input_ids"] == expected.apply_chat_template(turns)["input_ids"]
    assert found.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()


def test_wilson_interval_is_that_of_scipy():
    for total in (1, 2, 7, 100):
        for found in range(total + 1):
            interval = stats.binomtest(found, total).proportion_ci(0.95, method="wilson")
            assert wilson_interval(found, total) == [interval.low, interval.high]
