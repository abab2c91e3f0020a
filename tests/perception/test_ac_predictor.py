"""The AC predictor against Meta's reference outputs, and its cache against itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from foresight.core.errors import ForesightError
from foresight.perception.ac_checkpoint import load_ac_predictor, random_ac_predictor
from foresight.perception.ac_layers import ACConfig, frame_tables
from foresight.perception.ac_predictor import ACPredictor, normalise
from foresight.perception.pose import integrate_pose
from foresight.perception.rope import grid_positions, rotary_tables

REFERENCE = Path(__file__).parents[1] / "data" / "vjepa2-reference"
WEIGHTS = REFERENCE / "meta_vjepa2_ac_predictor_small.safetensors"
N = 16  # tokens per frame of the reference


@pytest.fixture(scope="module")
def predictor():
    return load_ac_predictor(WEIGHTS)


@pytest.fixture(scope="module")
def io():
    return load_file(REFERENCE / "meta_vjepa2_ac_predictor_small_io.safetensors")


@pytest.fixture(scope="module")
def sequence(io):
    return normalise(io["tokens_BND"]), io["actions_BTA"], io["states_BTS"]


def stepwise(predictor, cache, tokens, actions, states, frames):
    parts = [
        predictor.step(tokens[:, t * N : (t + 1) * N], actions[:, t], states[:, t], cache)
        for t in frames
    ]
    return torch.cat(parts, 1)


def test_equals_the_reference(predictor, io):
    out = predictor(io["tokens_BND"], io["actions_BTA"], io["states_BTS"])
    assert (out - io["predictions_BND"]).abs().max() <= 1e-5


def test_steps_with_a_cache_equal_the_reference(predictor, io):
    cache = predictor.new_cache(2)
    inputs = (io["tokens_BND"], io["actions_BTA"], io["states_BTS"])
    out = stepwise(predictor, cache, *inputs, range(5))
    assert (out - io["predictions_BND"]).abs().max() <= 1e-5
    assert cache.frames == 5


def test_full_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        full = ACPredictor(ACConfig())
    assert sum(p.numel() for p in full.parameters()) == 305_220_992


@pytest.mark.parametrize("seen", [1, 3])
def test_cached_rollout_equals_uncached(predictor, sequence, seen):
    tokens, actions, states = sequence
    part = (tokens[:, : seen * N], actions, states[:, :seen])
    fast, slow = predictor.rollout(*part), predictor.rollout(*part, cached=False)
    assert fast.shape == (2, (6 - seen) * N, 192)
    assert (fast - slow).abs().max() <= 1e-5


def test_rollout_is_the_loop_over_the_whole_model(predictor, sequence):
    tokens, actions, states = sequence
    frames, poses = tokens[:, :N], states[:, :1]
    for t in range(5):
        new = predictor(frames, actions[:, : t + 1], poses)[:, -N:]
        frames = torch.cat([frames, torch.nn.LayerNorm(192, 1e-5, False)(new)], 1)
        step = integrate_pose(poses[:, -1], actions[:, t])
        poses = torch.cat([poses, step[:, None]], 1)
    out = predictor.rollout(tokens[:, :N], actions, states[:, :1])
    assert (out - frames[:, N:]).abs().max() <= 1e-5


def test_later_frames_change_nothing_before_them(predictor, sequence):
    tokens, actions, states = (x.clone() for x in sequence)
    before = predictor(tokens, actions, states)
    tokens[:, 3 * N :] += 1
    actions[:, 3:] += 1
    after = predictor(tokens, actions, states)
    assert torch.equal(before[:, : 3 * N], after[:, : 3 * N])
    assert not torch.allclose(before[:, 3 * N :], after[:, 3 * N :])


def test_a_fork_shares_the_past_and_goes_its_own_way(predictor, sequence):
    tokens, actions, states = sequence
    cache = predictor.new_cache(2)
    stepwise(predictor, cache, tokens, actions, states, range(2))
    fork = cache.fork(3, frames=2)
    stepwise(predictor, cache, tokens, actions, states, [2])  # must not reach the fork
    own = 0.1 * torch.randn(2, 3, 2, 7, generator=torch.Generator().manual_seed(0))
    spread = [x.repeat_interleave(3, 0) for x in (tokens, actions, states)]
    spread[1][:, 2:4] = own.flatten(0, 1)
    out = stepwise(predictor, fork, *spread, range(2, 4))
    whole = predictor(spread[0][:, : 4 * N], spread[1][:, :4], spread[2][:, :4])
    assert (out - whole[:, 2 * N :]).abs().max() <= 1e-5
    again = fork.fork(2, frames=0)
    assert (again.batch, again.frames) == (12, 4)
    assert fork.store.numel() < cache.store.numel()  # six rollouts hold only their own frames


def test_a_fork_of_a_fork(predictor, sequence):
    tokens, actions, states = sequence
    first = predictor.new_cache(2)
    stepwise(predictor, first, tokens, actions, states, range(2))
    second = first.fork(2)
    spread = [x.repeat_interleave(2, 0) for x in sequence]
    stepwise(predictor, second, *spread, [2])
    third = second.fork(2)
    spread = [x.repeat_interleave(2, 0) for x in spread]
    out = stepwise(predictor, third, *spread, [3])
    whole = predictor(*sequence)[:, 3 * N : 4 * N].repeat_interleave(4, 0)
    assert (out - whole).abs().max() <= 1e-5


def test_extrinsics_add_a_token(predictor, sequence):
    camera = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
    out = predictor(*sequence, camera)
    assert not torch.allclose(out, predictor(*sequence))
    cache = predictor.new_cache(2, extrinsics=True)
    tokens, actions, states = sequence
    parts = [
        predictor.step(
            tokens[:, t * N : (t + 1) * N], actions[:, t], states[:, t], cache, camera[:, t]
        )
        for t in range(5)
    ]
    assert (torch.cat(parts, 1) - out).abs().max() <= 1e-5


def test_bfloat16_is_close(sequence):
    rounded = load_ac_predictor(WEIGHTS, dtype="bfloat16")
    assert rounded.dtype == torch.bfloat16
    out, exact = rounded(*sequence), load_ac_predictor(WEIGHTS)(*sequence)
    assert out.dtype == torch.float32
    assert torch.cosine_similarity(out, exact, dim=-1).min() > 0.999


@given(cuts=st.sets(st.integers(1, 4)), batch=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_any_way_of_feeding_frames_gives_the_same(cuts, batch, seed):
    small = random_ac_predictor(ACConfig(16, 64, 2, 1, 64, 2, 5), seed)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, 5 * 4, 16, generator=generator)
    actions, states = torch.randn(2, batch, 5, 7, generator=generator)
    cache = small.new_cache(batch)
    ends = [*sorted(cuts), 5]
    parts = [
        small(tokens[:, 4 * a : 4 * b], actions[:, a:b], states[:, a:b], cache=cache)
        for a, b in zip([0, *ends[:-1]], ends, strict=True)
    ]
    whole = small(tokens, actions, states)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


def test_rotary_tables_turn_patches_as_the_encoder_does_and_conditions_stand_in_the_corner():
    cos, sin = frame_tables(4, 3, 64, 2)
    order = torch.cat((torch.arange(0, 64, 2), torch.arange(1, 64, 2)))
    sign = torch.cat((-torch.ones(32), torch.ones(32)))
    theirs_cos, theirs_sin = rotary_tables(grid_positions(4, 3, 3), 64)
    torch.testing.assert_close(cos[:, 2:].flatten(0, 2), theirs_cos[:, order])
    torch.testing.assert_close(sin[:, 2:].flatten(0, 2), theirs_sin[:, order] * sign)
    for table in (cos, sin):
        assert torch.equal(table[:, 0], table[:, 2]) and torch.equal(table[:, 1], table[:, 2])


def test_the_cache_passes_no_gradient_but_training_needs_none():
    small = random_ac_predictor(ACConfig(16, 64, 1, 1, 64, 2, 4)).requires_grad_(True)
    loss = small(torch.ones(1, 8, 16), torch.zeros(1, 2, 7), torch.zeros(1, 2, 7)).square().mean()
    loss.backward()
    assert small.predictor_blocks[0].attn.qkv.weight.grad is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, a, s: (t[:, :-1], a, s), "no whole number of frames"),
        (lambda t, a, s: (t[..., :-1], a, s), "do not fit this AC predictor"),
        (lambda t, a, s: (t, a[..., :6], s), "actions have shape"),
        (lambda t, a, s: (t, a, s[:, :4]), "states have shape"),
        (lambda t, a, s: (t * torch.nan, a, s), "tokens .* not finite"),
        (lambda t, a, s: (t, a, s / 0), "states .* not finite"),
        (lambda *x: tuple(torch.cat([v, v], 1) for v in x), "10 frames are too many .* limit is 8"),
    ],
)
def test_bad_input_is_one_sentence(predictor, sequence, change, words):
    with pytest.raises(ForesightError, match=words) as error:
        predictor(*change(*sequence))
    assert str(error.value).count(". ") == 0


def test_a_rollout_knows_its_limits(predictor, sequence):
    tokens, actions, states = sequence
    with pytest.raises(ForesightError, match="too many"):
        predictor.rollout(tokens[:, :N], torch.cat([actions, actions], 1), states[:, :1])
    with pytest.raises(ForesightError, match="got 2 states"):
        predictor.rollout(tokens[:, :N], actions, states[:, :2])
    with pytest.raises(ForesightError, match="cannot be forked"):
        predictor.new_cache(1).fork(0)
    with pytest.raises(ForesightError, match="cache is for 1 rollouts"):
        predictor.step(tokens[:, :N], actions[:, 0], states[:, 0], predictor.new_cache(1))
