"""Fine-tuning the AC predictor: what is frozen, what is told, and that actions are learned."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from foresight.core.checkpoint import load
from foresight.core.errors import ForesightError
from foresight.data.cache import FeatureCache
from foresight.perception.ac_checkpoint import load_ac_predictor, random_ac_predictor
from foresight.perception.ac_data import ACEpisodes, ACRobot
from foresight.perception.ac_layers import ACConfig
from foresight.perception.ac_predictor import normalise
from foresight.perception.ac_tuned import TunedACConfig, tunable
from foresight.training.ac_tuning import ACTuning, ac_losses, memory_needed, tune_ac
from foresight.training.loop import FitConfig

REFERENCE = Path(__file__).parents[1] / "data" / "vjepa2-reference"
WEIGHTS = REFERENCE / "meta_vjepa2_ac_predictor_small.safetensors"
SIZES = ACConfig(dim=8, width=64, depth=1, heads=1, hidden=64, grid=2, max_frames=8)
OWN = ACRobot("front", 1, (), (0.0,) * 2, (1.0,) * 2, (0.0,), (1.0,))
POSE = ACRobot("front", 1, tuple("abcdefg"))
TRAINING = ACTuning(
    rank=8,
    frames=4,
    fit=FitConfig(epochs=4, updates=400, batch=8, lr=1e-2, weight_decay=0.0, clip=1.0, warmup=10),
)


@pytest.fixture
def predictor():
    return load_ac_predictor(WEIGHTS)


def sequence(batch, width=7, frames=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = normalise(torch.randn(batch, frames * 16, 192, generator=generator))
    return tokens, *torch.randn(2, batch, frames, width, generator=generator)


def test_at_first_the_output_is_that_of_the_untuned_predictor(predictor):
    given = sequence(2)
    before = predictor(*given)
    tunable(predictor, POSE, 8, 16.0)
    torch.testing.assert_close(predictor(*given), before, atol=1e-6, rtol=0)


def test_at_first_another_robots_actions_are_none(predictor):
    tokens, actions, states = sequence(2)
    before = predictor(tokens, torch.zeros_like(actions), torch.zeros_like(states))
    tunable(predictor, OWN, 8, 16.0)
    own = predictor(tokens, actions[..., :2], states[..., :2])
    torch.testing.assert_close(own, before, atol=1e-6, rtol=0)


@pytest.mark.parametrize("robot", [POSE, OWN])
def test_what_learns_is_small_and_the_rest_is_frozen(predictor, robot):
    learned = tunable(predictor, robot, 2, 4.0)
    projections = r"predictor_blocks\.\d\.(attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)"
    expected = rf"{projections}\.factors\.(down|up)|(action|state)_encoder\.(weight|bias)"
    learns = {name for name, p in predictor.named_parameters() if p.requires_grad}
    assert learns == {n for n, _ in predictor.named_parameters() if re.fullmatch(expected, n)}
    assert len(learns) == 3 * 4 * 2 + 4
    width, hidden, rank = 128, 512, 2
    adapters = 3 * rank * (width + 3 * width + 2 * width + 2 * (width + hidden))
    count = adapters + 2 * (robot.width + 1) * width
    assert sum(p.numel() for p in learned.parameters()) == count


def test_the_loss_is_that_of_the_paper(predictor):
    tokens, actions, states = sequence(2)
    batch = {"tokens": tokens.view(2, 5, -1), "action": actions, "state": states}
    found = ac_losses(predictor, batch, rollout=3)
    frames = tokens.unflatten(1, (5, 16))

    def normal(x):
        return functional.layer_norm(x, x.shape[-1:])

    told = normal(predictor(tokens, actions, states)).unflatten(1, (5, 16))
    assert found["teacher"] == pytest.approx(float((told[:, :4] - frames[:, 1:]).abs().mean()))
    seen = tokens[:, :16]
    for k in range(3):
        new = predictor(seen, actions[:, : k + 1], states[:, : k + 1])[:, -16:]
        seen = torch.cat([seen, normal(new)], 1)
    ahead = seen[:, 16:].unflatten(1, (3, 16))
    assert found["rollout"] == pytest.approx(float((ahead - frames[:, 1:4]).abs().mean()), rel=1e-5)


def made_up(root, robot=OWN, episodes=6, frames=24):
    """Tokens that the first action turns this way or that; the second does nothing."""
    draw = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(1)
    one, other = normalise(torch.randn(2, 4, 8, generator=generator))
    lengths = [frames] * episodes
    cache = FeatureCache.open_or_create(root, "data", "eyes", "still", lengths, (32,), "float16")
    actions = draw.choice([-1.0, 1.0], (episodes, frames, robot.width)).astype(np.float32)
    for index in range(episodes):
        phase = np.cumsum(np.concatenate([[0], actions[index, :-1, 0]])) * 0.6
        turn = torch.from_numpy(phase).float()[:, None, None]
        tokens = normalise(turn.cos() * one + turn.sin() * other)
        cache.write_episode(index, tokens.flatten(1).numpy())
    taken = torch.from_numpy(actions.reshape(-1, robot.width))
    return ACEpisodes(cache, taken, torch.zeros_like(taken))


def tuned(root, folder, training=TRAINING, robot=OWN):
    config = TunedACConfig(sizes=SIZES, robot=robot, encoder="eyes", encoder_fingerprint="eyes")
    said = []
    found = tune_ac(
        random_ac_predictor(SIZES),
        made_up(root, robot),
        ([0, 1, 2, 3, 4], [5]),
        config,
        training,
        folder,
        said.append,
    )
    return *found, said


def test_actions_are_learned_and_the_checkpoint_says_the_same(tmp_path):
    found, history, said = tuned(tmp_path / "cache", tmp_path / "out")
    best = min(record["validation/loss"] for record in history)
    assert best < 0.5 * history[0]["validation/untuned"]
    assert best < 0.5 * history[0]["validation/persistence"]
    assert len(said) == 1 and re.search(r"[\d,]+ of [\d,]+ parameters learn; .* GiB", said[0])
    again = load(tmp_path / "out")
    assert again.config == found.config and again.config.sizes.actions == 2
    assert not any(p.requires_grad for p in again.predictor.parameters())
    data = made_up(tmp_path / "cache")
    batch = {
        "tokens": torch.from_numpy(data.cache.episode(5)[None, :4].astype(np.float32)),
        "action": data.actions[None, 5 * 24 : 5 * 24 + 4],
        "state": torch.zeros(1, 4, 2),
    }
    loss = {k: float(v) for k, v in ac_losses(again.predictor, batch).items()}
    assert loss == {k: float(v) for k, v in ac_losses(found.predictor, batch).items()}
    # Other actions, other frames: the first number matters, the second does not.
    told = {}
    for number in (0, 1):
        turned = batch["action"].clone()
        turned[..., number] *= -1
        told[number] = float(ac_losses(again.predictor, batch | {"action": turned})["teacher"])
    assert told[0] > 1.5 * loss["teacher"] and told[1] < 1.2 * loss["teacher"]


def test_a_stopped_tuning_goes_on_to_the_same_end(tmp_path, monkeypatch):
    short = replace(TRAINING, fit=replace(TRAINING.fit, epochs=3, updates=6))
    whole, _, _ = tuned(tmp_path / "cache", tmp_path / "whole", short)
    calls = []

    def killed(*_args, **_more):
        calls.append(1)
        if len(calls) == 12:  # in the second of three epochs
            raise KeyboardInterrupt
        return ac_losses(*_args, **_more)

    monkeypatch.setattr("foresight.training.ac_tuning.ac_losses", killed)
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path / "cache", tmp_path / "halves", short)
    monkeypatch.undo()
    halves, history, _ = tuned(tmp_path / "cache", tmp_path / "halves", short)
    assert len(history) == 3
    for name, value in whole.predictor.state_dict().items():
        assert torch.equal(halves.predictor.state_dict()[name], value), name


def test_the_memory_that_is_told_grows_with_what_is_kept(predictor):
    tokens, actions, states = sequence(1)
    batch = {"tokens": tokens.view(1, 5, -1), "action": actions, "state": states}
    learned = tunable(predictor, POSE, 2, 4.0)
    one = memory_needed(predictor, learned, batch, replace(TRAINING, fit=FitConfig(batch=1)))
    four = memory_needed(predictor, learned, batch, replace(TRAINING, fit=FitConfig(batch=4)))
    assert four.activations == 4 * one.activations
    assert one.optimiser == 12 * one.learned and one.weights == 4 * one.parameters
    # At least queries, keys, values and the MLP's hidden numbers of every token in each block.
    assert one.activations > 4 * 3 * (4 + 2) * 18 * (3 * 128 + 2 * 512)
    assert "too little" in replace(four, free=1).sentence
    assert "too little" not in replace(four, free=2**50).sentence


def test_bad_requests(tmp_path):
    for training, words in (
        (replace(TRAINING, frames=30), "Windows of 30 frames"),
        (replace(TRAINING, rollout=4), "with 4 imagined ones"),
    ):
        with pytest.raises(ForesightError, match=words):
            tuned(tmp_path / "cache", tmp_path / "out", training)
    short = made_up(tmp_path / "short", frames=3)
    config = TunedACConfig(sizes=SIZES, robot=OWN)
    with pytest.raises(ForesightError, match="No training episode has 4 frames"):
        tune_ac(random_ac_predictor(SIZES), short, ([0, 1], [2]), config, TRAINING, tmp_path)
