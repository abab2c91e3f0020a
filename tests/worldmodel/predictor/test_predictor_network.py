"""Frame-causal predictors: their sizes, what they see, and rollouts with and without a cache."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foresight.core.errors import ForesightError
from foresight.perception.ac_data import ACRobot
from foresight.perception.ac_predictor import normalise
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor
from foresight.worldmodel.predictor.config import (
    PredictorConfig,
    PredictorSizes,
    named_sizes,
    window_flops,
)
from foresight.worldmodel.predictor.losses import (
    Persistence,
    PredictorLoss,
    PredictorLossConfig,
)
from foresight.worldmodel.predictor.network import KEPT, FramePredictor

SMALL = PredictorSizes(dim=12, grid=2, actions=2, states=3, width=32, depth=2, heads=2, context=4)
KINDS = [
    {},
    {"conditioning": "adaln"},
    {"positions": "learned", "context": 9},
    {"residual": False, "states": 0},
    {"output": "free"},
]


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(**changes) -> FramePredictor:
    """A network none of whose weights is zero."""
    torch.manual_seed(0)
    network = FramePredictor(replace(SMALL, **changes)).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    network.fit_scale(normalise(randn(9, 4, 12, seed=5)))
    return network


def inputs(network, time, batch=2):
    sizes = network.sizes
    tokens = normalise(randn(batch, time, 4, 12))
    states = randn(batch, time, sizes.states, seed=2) if sizes.states else None
    return tokens, randn(batch, time, 2, seed=1), states


@pytest.mark.parametrize(
    ("size", "millions"), [("1m", 1.86), ("10m", 9.99), ("100m", 99.5), ("300m", 302.7)]
)
def test_named_sizes_have_exactly_the_parameters_that_they_say(size, millions):
    sizes = named_sizes(size, PredictorSizes(actions=3, states=0))
    assert sizes.heads * 64 == sizes.width
    with torch.device("meta"):
        network = FramePredictor(sizes)
    assert sum(p.numel() for p in network.parameters()) == sizes.parameters
    assert sizes.parameters == pytest.approx(millions * 1e6, rel=0.005)


@pytest.mark.parametrize("changes", KINDS)
def test_parameters_are_counted_for_every_kind(changes):
    network = FramePredictor(replace(SMALL, **changes))
    assert sum(p.numel() for p in network.parameters()) == network.sizes.parameters


@pytest.mark.parametrize("changes", KINDS)
def test_rollouts_are_the_same_with_and_without_the_cache(changes):
    """Also for longer than the window that attention sees."""
    network = made(**changes)
    tokens, _, states = inputs(network, 3)
    actions = randn(2, 9, 2, seed=4)
    cached = network.rollout(tokens, actions, states)
    plain = network.rollout(tokens, actions, states, cached=False)
    assert cached.shape == (2, 7, 4, 12)
    torch.testing.assert_close(cached, plain, atol=1e-5, rtol=0)
    assert float((cached[:, 1:] - cached[:, :-1]).abs().mean()) > 0.01  # and something moves


@pytest.mark.parametrize("changes", KINDS)
def test_the_future_is_not_seen_and_the_distant_past_neither(changes):
    network = made(**changes)
    time = min(8, network.sizes.limit or 8)
    tokens, actions, states = inputs(network, time)
    before = network(tokens, actions, states)
    assert before.shape == tokens.shape
    later, other = tokens.clone(), actions.clone()
    later[:, 5] = normalise(randn(2, 4, 12, seed=9))
    other[:, 5] += 1
    after = network(later, other, states)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert not torch.allclose(after[:, 5], before[:, 5], atol=1e-3)
    if network.sizes.context == 4:
        # Two blocks of a window of four frames reach back six frames.
        early = tokens.clone()
        early[:, 0] = normalise(randn(2, 4, 12, seed=9))
        changed = (network(early, actions, states) - before).abs().amax((0, 2, 3))
        assert (changed[:7] > 1e-4).all() and changed[7] == 0


def test_attention_over_frames_is_that_of_a_mask():
    """The blocks beside a naive attention with a mask, rotated by the tables as they are."""
    network = made()
    block, time, width = network.blocks[0], 6, 6  # 2 conditions and 4 tokens
    x = randn(1, time, width, 32, seed=3)
    cos, sin = network._rotary(0, time, x)
    found = block.attn(x, cos, sin, None, 0)
    qkv = block.attn.qkv(x).view(1, time, width, 6, 16)
    half = torch.cat((qkv[..., 8:], qkv[..., :8]), -1)
    turned = qkv * cos + half * sin
    q, k, v = turned[..., :2, :], turned[..., 2:4, :], qkv[..., 4:, :]
    q, k, v = (part.flatten(1, 2).transpose(1, 2) for part in (q, k, v))
    frame = torch.arange(time).repeat_interleave(width)
    back = frame[:, None] - frame
    mask = (back >= 0) & (back < 4)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    expected = block.attn.proj(mixed.transpose(1, 2).reshape(1, time, width, 32))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_only_distances_in_time_count():
    """True rotations: a window says the same wherever it stands in a sequence."""
    network = made()
    q, k = randn(1, 1, 6, 1, 16), randn(1, 1, 6, 1, 16, seed=1)

    def product(first, second):
        turned = []
        for part, at in ((q, first), (k, second)):
            cos, sin = network._rotary(at, 1, part)
            swapped = torch.cat((part[..., 8:], part[..., :8]), -1)
            turned.append(part * cos + swapped * sin)
        return (turned[0] * turned[1]).sum(-1)

    torch.testing.assert_close(product(3, 1), product(17, 15), atol=1e-4, rtol=0)
    assert not torch.allclose(product(3, 1), product(3, 2), atol=1e-2)


def test_a_fresh_predictor_predicts_no_change():
    torch.manual_seed(0)
    network = FramePredictor(SMALL)
    tokens, actions, states = inputs(network, 3)
    torch.testing.assert_close(network(tokens, actions, states), tokens, atol=1e-4, rtol=0)


def test_a_fresh_free_output_goes_a_little_towards_the_mean_and_may_be_short():
    network = FramePredictor(replace(SMALL, output="free"))
    tokens, actions, states = inputs(network, 3)
    network.fit_scale(tokens.flatten(0, 1))
    expected = network.centre + KEPT * (tokens - network.centre)
    torch.testing.assert_close(network(tokens, actions, states), expected, atol=1e-5, rtol=0)
    with pytest.raises(ForesightError, match="set residual"):
        FramePredictor(replace(SMALL, output="free", residual=False))


def test_states_count_only_where_they_are_known():
    network = made()
    tokens, actions, states = inputs(network, 4)
    known = torch.tensor([[True, True, False, False]]).expand(2, -1)
    before = network(tokens, actions, states, known)
    other = states.clone()
    other[:, 2:] += 5
    torch.testing.assert_close(network(tokens, actions, other, known), before)
    other[:, 1] += 5
    assert not torch.allclose(network(tokens, actions, other, known), before, atol=1e-3)


def test_the_loss_is_teacher_forcing_plus_a_rollout_of_two():
    network = made()
    tokens, actions, states = inputs(network, 5)
    known = torch.ones(2, 5, dtype=torch.bool)
    found = PredictorLoss(network, PredictorLossConfig())(tokens, actions, states, known)
    ahead = network(tokens[:, :4], actions[:, :4], states[:, :4])
    expected = (ahead - tokens[:, 1:]).abs().mean()
    torch.testing.assert_close(found["teacher"], expected)
    imagined = network.rollout(tokens[:, :1], actions[:, :2], states[:, :1])
    expected = (imagined - tokens[:, 1:3]).abs().mean()
    torch.testing.assert_close(found["rollout"], expected, atol=1e-5, rtol=0)
    squared = PredictorLoss(network, PredictorLossConfig("mse", rollout=1))
    parts = squared(tokens, actions, states, known)
    torch.testing.assert_close(parts["teacher"], (ahead - tokens[:, 1:]).square().mean())
    with pytest.raises(ForesightError, match="too short"):
        squared(tokens[:, :1], actions[:, :1], states[:, :1], known[:, :1])


def test_without_teacher_forcing_every_prediction_of_a_rollout_counts_alike():
    network = made()
    tokens, actions, states = inputs(network, 6)
    known = (torch.arange(6) < 2).expand(2, -1)
    loss = PredictorLoss(network, PredictorLossConfig("mse", seen=3, rollout=3, teacher=False))
    found = loss(tokens, actions, states, known)
    total = found["teacher"] + found["rollout"]
    ahead = network(tokens[:, :2], actions[:, :2], states[:, :2], known[:, :2])
    frames = torch.cat([tokens[:, :2], ahead[:, -1:]], dim=1)
    for time in (3, 4):  # everything anew, nothing cached
        again = network(frames, actions[:, :time], states[:, :time], known[:, :time])
        frames = torch.cat([frames, again[:, -1:]], dim=1)
    guess = torch.cat([ahead[:, :1], frames[:, 2:]], dim=1)
    expected = (guess - tokens[:, 1:5]).square().mean() / network.spread**2
    torch.testing.assert_close(total, expected)
    weights = list(network.parameters())
    ours = torch.autograd.grad(total, weights, allow_unused=True)
    theirs = torch.autograd.grad(expected, weights, allow_unused=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None and other is not None:
            torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-3)
    every = loss(tokens, actions, states)  # up to `seen` where nothing else is said
    assert not torch.allclose(every["rollout"], found["rollout"])


def test_persistence_has_the_error_of_what_was_last_seen():
    network = made()
    tokens, actions, states = inputs(network, 5)
    config = PredictorLossConfig("l1", seen=2, rollout=3, teacher=False)
    still = PredictorLoss(Persistence(torch.zeros_like(tokens[0, 0]), torch.tensor(2.0)), config)
    found = still(tokens, actions, states)
    guess = tokens[:, [0, 1, 1, 1]]
    expected = (guess - tokens[:, 1:]).abs().mean() / 2.0  # in units of the spread
    torch.testing.assert_close(found["teacher"] + found["rollout"], expected)


def test_a_cosine_counts_every_token_alike_and_knows_how_long_one_is():
    network = made()
    tokens, actions, states = inputs(network, 5)
    known = (torch.arange(5) < 2).expand(2, -1)
    config = PredictorLossConfig("cosine", seen=2, rollout=0, teacher=False)
    found = sum(PredictorLoss(network, config)(tokens, actions, states, known).values())
    ahead = network(tokens[:, :2], actions[:, :2], states[:, :2], known[:, :2])
    rolled = network.rollout(tokens[:, :2], actions[:, :4], states[:, :2])
    guess = torch.cat([ahead[:, :1], rolled], dim=1) - network.centre
    truth = tokens[:, 1:] - network.centre
    lengths = guess.norm(dim=-1) * truth.norm(dim=-1)
    turned = 1 - (guess * truth).sum(-1) / lengths
    squared = (guess - truth).square().mean() / network.spread**2
    torch.testing.assert_close(found, turned.mean() + 0.25 * squared, atol=1e-5, rtol=1e-5)
    forced = PredictorLoss(network, PredictorLossConfig("cosine", rollout=1))
    parts = forced(tokens, actions, states)
    assert parts["teacher"] > 0.1
    still = PredictorLoss(Persistence(network.centre, network.spread), config)
    assert all(part < 1e-5 for part in still(tokens[:, :1].repeat(1, 5, 1, 1), actions).values())


def test_operations_are_counted_as_products_are():
    sizes = PredictorSizes(dim=12, grid=2, width=32, depth=2, heads=2, context=4)
    network = FramePredictor(sizes)
    tokens = normalise(randn(1, 6, 4, 12))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(tokens, randn(1, 6, 1))
    assert counter.get_total_flops() == pytest.approx(window_flops(sizes, 6), rel=0.001)


def test_a_checkpoint_is_read_back(tmp_path):
    network = made()
    robot = ACRobot("camera", 2, (), (0.0, 1.0), (1.0, 2.0), (0.0,) * 3, (1.0,) * 3)
    config = PredictorConfig(sizes=network.sizes, robot=robot, encoder="foresight-small")
    TrainedPredictor(network, config).save(tmp_path)
    back = TrainedPredictor.load(tmp_path)
    assert back.config == config
    tokens, actions, states = inputs(network, 3)
    torch.testing.assert_close(
        back.network(tokens, actions, states), network(tokens, actions, states)
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tokens": (1, 2, 4, 11)}, "Tokens of shape"),
        ({"actions": (1, 2, 3)}, r"expected \[1, 2, 2\]"),
        ({"states": (1, 1, 3)}, "The states have shape"),
    ],
)
def test_what_does_not_fit_is_refused(change, sentence):
    shapes = {"tokens": (1, 2, 4, 12), "actions": (1, 2, 2), "states": (1, 2, 3)} | change
    with pytest.raises(ForesightError, match=sentence):
        made()(*(torch.zeros(shape) for shape in shapes.values()))


def test_places_that_there_are_not():
    with pytest.raises(ForesightError, match="too many"):
        network = made(positions="learned", context=4)
        network(*inputs(network, 5))
    with pytest.raises(ForesightError, match="cannot be built"):
        FramePredictor(replace(SMALL, width=33))
    with pytest.raises(ForesightError, match="choose one of"):
        named_sizes("2m", SMALL)
    with pytest.raises(ForesightError, match="give one for each"):
        made().rollout(torch.zeros(1, 3, 4, 12), torch.zeros(1, 2, 2), torch.zeros(1, 3, 3))
