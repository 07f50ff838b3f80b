"""Hidden states: the right block, the right token, the same in a batch as alone."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from persona_leakage.geometry.hidden_states import last_token_states, states_of_all
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.attention import use_causal_attention

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14], [15], [16, 17, 18, 19]]


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval()


def test_blocks_behind_the_last_layer_do_not_run(model):
    use_causal_attention(model)  # its probe runs all blocks
    ran = []
    hooks = [block.register_forward_hook(lambda *_, index=index: ran.append(index)) for index, block in enumerate(model.model.layers)]
    last_token_states(model, PROMPTS, [0, 1])
    for hook in hooks:
        hook.remove()
    assert set(ran) == {0, 1} and len(model.model.layers) == 4


def test_unknown_layers_are_named(model):
    with pytest.raises(InputError, match="4 is not a block of this model, which has blocks 0 to 3"):
        last_token_states(model, PROMPTS, [1, 4])


def test_states_do_not_depend_on_the_company(model):
    together = last_token_states(model, PROMPTS, [1, 3])[0]
    assert torch.equal(last_token_states(model, PROMPTS[::-1], [1, 3], batch_tokens=32)[0], together.flip(0))
    for row, ids in enumerate(PROMPTS):
        assert torch.equal(last_token_states(model, [ids], [1, 3])[0][0], together[row])


def test_only_missing_prompts_are_computed(model, tmp_path, capsys):
    """A second run loads no model; another prompt costs one prompt; a damaged part is made anew; another identity costs all."""
    loads = []

    def load():
        loads.append(1)
        return model

    expected = last_token_states(model, [*PROMPTS, [20, 21]], [1, 3])[0]
    assert torch.equal(states_of_all(load, PROMPTS, [1, 3], "a", tmp_path, 512)[0], expected[:4]) and len(loads) == 1
    assert torch.equal(states_of_all(load, PROMPTS[::-1], [1, 3], "a", tmp_path, 512)[0], expected[:4].flip(0)) and len(loads) == 1
    more = [*PROMPTS[:2], [20, 21], *PROMPTS[2:]]
    assert torch.equal(states_of_all(load, more, [1, 3], "a", tmp_path, 512)[0], expected[[0, 1, 4, 2, 3]]) and len(loads) == 2
    assert "4 of 5 prompts are kept from earlier, 1 to go" in capsys.readouterr().out
    part = max(tmp_path.glob("*/*"), key=lambda path: path.stat().st_size)
    whole = part.read_bytes()
    part.write_bytes(whole[:-7])
    assert torch.equal(states_of_all(load, PROMPTS, [1, 3], "a", tmp_path, 512)[0], expected[:4]) and len(loads) == 3
    assert f"{part}: not whole hidden states" in capsys.readouterr().out
    states_of_all(load, PROMPTS, [1, 3], "b", tmp_path, 512)
    assert len(loads) == 4
