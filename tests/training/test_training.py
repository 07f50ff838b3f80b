"""The training loop: loss, gradients, order of rows, checkpoints."""

import copy
from contextlib import nullcontext

import pytest
import torch
from peft import get_peft_model_state_dict
from peft.tuners.lora import Linear
from torch.nn import functional
from transformers import AutoModelForCausalLM

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.batching import split_by_tokens
from persona_leakage.models.lora import attach_new_adapter, load_adapter, save_adapter
from persona_leakage.training.cuda_graphs import pad_positions
from persona_leakage.training.fused_lora import lean_lora
from persona_leakage.training.loop import backward, labelled_positions, pad_rows, plan_batches, selective_loss, train

LORA = {"rank": 4, "alpha": 8, "dropout": 0.1, "rslora": False}
TRAINING = {
    "lora": LORA,
    "learning_rate": 0.01,
    "epochs": 3,
    "batch_size": 4,
    "warmup_ratio": 0.1,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "max_tokens_per_micro_batch": 40,
}


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).requires_grad_(False)


@pytest.fixture(scope="module")
def rows():
    generator = torch.Generator().manual_seed(1)
    made = []
    for size in range(8, 19):
        ids = torch.randint(2, 600, (size,), generator=generator).tolist()
        trained = 3 + size % 2
        made.append({"token_ids": ids, "labels": [-100] * (size - trained) + ids[-trained:]})
    return made


def loss_of(model, rows):
    input_ids, mask, labels = pad_rows(rows)
    return selective_loss(model, input_ids, mask, labelled_positions(labels))


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


def randomise_adapter(model):
    """Give B random values, so that gradients reach A too."""
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)


def test_selective_loss_equals_full_logits(model, rows):
    """Same loss (1e-5) and gradients (1e-5 of the largest) as cross entropy over all logits."""
    model = attach_new_adapter(model, {**LORA, "dropout": 0.0}, seed=0)
    randomise_adapter(model)
    input_ids, mask, labels = pad_rows(rows)
    loss = selective_loss(model, input_ids, mask, labelled_positions(labels))
    loss.backward()
    selective = gradients(model)
    model.zero_grad()
    logits = model(input_ids=input_ids, attention_mask=mask).logits
    full = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")
    full.backward()
    assert loss.item() == pytest.approx(full.item(), rel=1e-5)
    for name, expected in gradients(model).items():
        torch.testing.assert_close(selective[name], expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item(), msg=name)


def test_loss_does_not_depend_on_padding_or_micro_batches(model, rows):
    """The sum over rows one at a time equals the padded batch; so the step's token mean is the same however it is split."""
    together = loss_of(model, rows).item()
    alone = sum(loss_of(model, [row]).item() for row in rows)
    assert together == pytest.approx(alone, rel=1e-5)


def test_sizes_that_recur_leave_the_gradients_as_they_are(model, rows):
    """Rows and labels filled up as for CUDA graphs: same loss (1e-6) and gradients (1e-5 of the largest)."""
    model = attach_new_adapter(model, {**LORA, "dropout": 0.0}, seed=0)
    randomise_adapter(model)
    found = []
    for length, count in ((None, None), (24, 60)):
        input_ids, mask, labels = pad_rows(rows, length)
        positions = labelled_positions(labels)
        found.append(
            backward(model, nullcontext(), input_ids, mask, pad_positions(positions, count) if count else positions, torch.tensor(7))
        )
        found.append(gradients(model))
        model.zero_grad()
    loss, expected, other_loss, others = found
    assert other_loss.item() == pytest.approx(loss.item(), rel=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-4, atol=1e-5 * gradient.abs().max().item(), msg=name)


def test_every_row_once_an_epoch(rows):
    lengths = [len(row["token_ids"]) for row in rows]
    steps = plan_batches(lengths, batch_size=4, epochs=3, seed=1)
    assert len(steps) == 9
    for epoch in range(3):
        assert sorted(row for step in steps[3 * epoch : 3 * epoch + 3] for row in step) == list(range(11))
    assert steps != plan_batches(lengths, batch_size=4, epochs=3, seed=2)


def test_micro_batches_keep_to_the_budget():
    lengths = [10, 3, 9, 4, 30]
    parts = split_by_tokens([0, 1, 2, 3, 4], lengths, budget=20)
    assert sorted(row for part in parts for row in part) == [0, 1, 2, 3, 4]
    assert [4] in parts
    assert all(len(part) * max(lengths[row] for row in part) <= 20 for part in parts if part != [4])


def test_training_learns_and_reports(model, rows, tmp_path):
    adapter = attach_new_adapter(model, LORA, seed=0)
    results = train(adapter, rows, {**TRAINING, "epochs": 20}, 1, tmp_path / "none.pt", "cpu", torch.float32)
    assert results["steps"] == len(results["loss"]) == len(results["learning_rate"]) == 60
    assert sum(results["loss"][-3:]) < 0.7 * sum(results["loss"][:3])
    assert results["learning_rate"][0] == 0.0 and max(results["learning_rate"]) == pytest.approx(0.01, rel=0.01)
    assert results["tokens"] == 20 * sum(len(row["token_ids"]) for row in rows)
    assert results["trainable_parameters"] == sum(p.numel() for p in adapter.parameters() if p.requires_grad)


def test_snapshots_are_equally_spaced_and_survive_an_interruption(model, rows, tmp_path, monkeypatch):
    """9 steps; the last snapshot is the finished adapter, which the snapshots leave as it is."""
    import persona_leakage.training.loop as training

    def run(path, snapshots, **options):
        adapter = attach_new_adapter(copy.deepcopy(model), LORA, seed=0)
        results = train(adapter, rows, TRAINING, 1, path, "cpu", torch.float32, snapshots=snapshots, **options)
        return results, get_peft_model_state_dict(adapter)

    plain, finished = run(tmp_path / "never.pt", 0)
    whole, adapter = run(tmp_path / "never.pt", 4)
    assert "snapshots" not in plain and list(whole["snapshots"]) == [2, 4, 7, 9]
    assert all(torch.equal(whole["snapshots"][9][name], finished[name]) for name in finished)
    assert all(torch.equal(adapter[name], finished[name]) for name in finished)
    assert any(not torch.equal(whole["snapshots"][7][name], finished[name]) for name in finished)

    def stop_after(path, *state):
        keep(path, *state)
        if state[-1] == 5:
            raise KeyboardInterrupt

    keep = training.save_checkpoint
    monkeypatch.setattr(training, "save_checkpoint", stop_after)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "checkpoint.pt", 4, checkpoint_seconds=0.0)
    monkeypatch.undo()
    resumed, _ = run(tmp_path / "checkpoint.pt", 4)
    assert resumed["resumed_from_step"] == 5 and list(resumed["snapshots"]) == [2, 4, 7, 9]
    assert all(resumed[name] == whole[name] for name in ("loss", "learning_rate", "tokens"))
    for step, weights in whole["snapshots"].items():
        assert all(torch.equal(resumed["snapshots"][step][name], weights[name]) for name in weights)
    with pytest.raises(InputError, match=r"training\.snapshots: 10 is more than the 9 steps"):
        run(tmp_path / "never.pt", 10)


@pytest.mark.parametrize("rslora", [False, True])
def test_adapter_survives_saving_and_merging(model, rows, tmp_path, rslora):
    """Saved, loaded beside the weights and merged into them: the same logits (1e-4), and not the base model's."""
    base = copy.deepcopy(model)
    adapter = attach_new_adapter(copy.deepcopy(model), {**LORA, "rslora": rslora}, seed=0)
    randomise_adapter(adapter)
    save_adapter(adapter, "tiny", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    input_ids = torch.tensor([rows[0]["token_ids"]])
    expected = adapter.eval()(input_ids).logits
    for merge in (False, True):
        torch.testing.assert_close(load_adapter(copy.deepcopy(base), tmp_path, merge)(input_ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert (base(input_ids).logits - expected).abs().max() > 0.05


def gradients_with(model, rows, layers, dtype):
    """(loss, gradients) of all rows with lean or peft's layers; dtype bfloat16: under autocast."""
    model.zero_grad()
    torch.manual_seed(5)  # the dropout masks
    context = lean_lora(model) if layers == "lean" else nullcontext()
    with context, torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss = loss_of(model, rows)
    loss.backward()
    return loss.item(), gradients(model)


@pytest.mark.parametrize("lora", [{**LORA, "dropout": 0.0}, {**LORA, "rslora": True}], ids=["plain", "rank-stabilised, dropout"])
def test_lean_layers_compute_what_peft_computes(model, rows, lora):
    """The same loss and gradients, 1e-5 of the largest, whatever the scaling."""
    model = attach_new_adapter(model, lora, seed=0).train()
    randomise_adapter(model)
    loss, expected = gradients_with(model, rows, "peft", torch.float32)
    lean_loss, found = gradients_with(model, rows, "lean", torch.float32)
    assert lean_loss == pytest.approx(loss, rel=1e-6)
    for name in expected:
        assert expected[name].abs().max() > 0, name
        assert (found[name] - expected[name]).abs().max() <= 1e-5 * expected[name].abs().max(), name


def test_lean_layers_round_no_worse_than_peft(tiny_model, rows):
    """Under autocast, with weights in bfloat16: as near to the gradients in float32, over all of them, as with peft's layers."""
    errors = {}
    for layers in ("peft", "lean"):
        found = {}
        for dtype in (torch.float32, torch.bfloat16):
            torch.manual_seed(0)
            base = AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.bfloat16).to(dtype).requires_grad_(False)
            model = attach_new_adapter(base, {**LORA, "dropout": 0.0}, seed=0).train()
            randomise_adapter(model)
            _, found[dtype] = gradients_with(model, rows, layers, dtype)
        exact, rounded = (
            torch.cat([gradient.flatten() for gradient in found[dtype].values()]) for dtype in (torch.float32, torch.bfloat16)
        )
        errors[layers] = ((rounded - exact).norm() / exact.norm()).item()
    assert 0 < errors["lean"] <= 1.2 * errors["peft"] < 0.2


def test_training_runs_on_lean_layers_without_cudnn(model, rows, monkeypatch, tmp_path):
    """Seen from inside a step; afterwards peft's own forward is back, for saving and merging, also when the training breaks off."""
    model = attach_new_adapter(model, LORA, seed=0)
    layers = [module for module in model.modules() if isinstance(module, Linear)]
    seen = []

    def look_and_fail(*_):
        seen.append(({"forward" in vars(layer) for layer in layers}, torch.backends.cuda.cudnn_sdp_enabled()))
        raise KeyError

    monkeypatch.setattr("persona_leakage.training.loop.selective_loss", look_and_fail)
    assert torch.backends.cuda.cudnn_sdp_enabled()
    with pytest.raises(KeyError):
        train(model, rows, TRAINING, 0, tmp_path / "none.pt", "cpu", torch.float32)
    assert layers and seen == [({True}, False)]
    assert not any("forward" in vars(layer) for layer in layers) and torch.backends.cuda.cudnn_sdp_enabled()
