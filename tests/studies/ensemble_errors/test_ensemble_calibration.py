"""Calibration of ensembles whose doubt is known to fit, or not to fit, their error."""

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.evaluation.results import make_result
from foresight.training.experience import Experience
from foresight.worldmodel.config import CameraInput, StateEncoderConfig, WorldModelConfig
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.ranks import spearman
from studies.ensemble_errors import calibration
from studies.ensemble_errors.calibration import (
    HeldOut,
    calibrate,
    calibrated_beta,
    held_out,
    weight_cosine,
)
from studies.whitening import deviation, disagreement, whitening_matrix

Z, A, E = 3, 2, 4


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(calibration, "RESAMPLES", 40)


class Doubtful(EnsembleDynamics):
    """Members push the state apart by ``knows`` times |z_0|; the truth is off by |z_0|."""

    def __init__(self, knows: float) -> None:
        super().__init__(DynamicsConfig(members=E, hidden=4, layers=1), Z, A, seed=0)
        self.push = torch.linspace(-1, 1, E)
        self.knows = knows

    def forward(self, z, actions, truncate=None, **more):
        states = [z.expand(E, *z.shape)]
        for action in actions.unbind(-2):
            state = states[-1]
            moved = torch.cat([action, action[..., :1]], -1)
            push = self.push.view(E, *[1] * (state.ndim - 1)) * self.knows
            states.append(state + moved + push * z[..., :1].abs())
        return torch.stack(states, -2)


def episodes(count=6, length=20, reward=True):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        z, a = [rng.normal(size=Z)], rng.uniform(-1, 1, (length, A))
        for t in range(length - 1):
            step = np.r_[a[t], a[t, :1]]
            z.append(rng.normal(size=Z) * 0.9 + 0.1 * step)
        z = torch.tensor(np.array(z), dtype=torch.float32)
        found.append(HeldOut(z, torch.tensor(a, dtype=torch.float32), z[:, 0] if reward else None))
    return found


def deterministic(count=6, length=20):
    """Truth moves by the action and drifts by |z_0| of the window's start, as the doubt says."""
    found = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        a = torch.rand(length, A, generator=generator) * 0.02
        z = [torch.full((Z,), 0.2 + 0.5 * seed)]
        for t in range(length - 1):
            z.append(z[-1] * 1.1 + torch.cat([a[t], a[t, :1]]))
        found.append(HeldOut(torch.stack(z), a, torch.stack(z)[:, 0]))
    return found


def test_whitened_states_are_white_and_flat_directions_stay_small():
    torch.manual_seed(0)
    z = torch.randn(4000, 3) @ torch.randn(3, 3)
    white = z @ whitening_matrix(z)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(3), atol=1e-3, rtol=0)
    flat = torch.cat([torch.randn(400, 2), 1e-6 * torch.randn(400, 1)], dim=1)
    assert float((flat @ whitening_matrix(flat))[:, 2].std()) < 1e-3
    with pytest.raises(ForesightError, match="cannot be whitened"):
        whitening_matrix(torch.ones(5, 2))


def test_disagreement_and_deviation_equal_naive_formulas():
    torch.manual_seed(0)
    states, whiten = torch.randn(E, 5, Z), torch.randn(Z, Z)
    for n in range(5):
        moved = [states[e, n] @ whiten for e in range(E)]
        mean = sum(moved) / E
        variance = sum((m - mean).square() for m in moved) / E
        assert float(disagreement(states, whiten)[n]) == pytest.approx(
            float(variance.mean().sqrt()), rel=1e-4
        )
        off = (moved[0] - moved[1]).square().mean().sqrt()
        assert float(deviation(states[0], states[1], whiten)[n]) == pytest.approx(
            float(off), rel=1e-4
        )


def test_doubt_that_follows_the_error_correlates():
    found = calibrate(Doubtful(0.3), deterministic(), (1, 4))
    for horizon in (1, 4):
        interval = found.spearman[horizon]
        assert interval.mean > 0.9 and interval.low <= interval.mean <= interval.high
        assert interval.n == 6
    assert found.error[4].mean > found.error[1].mean > 0
    twice = calibrate(Doubtful(0.6), deterministic(), (1, 4))
    assert twice.ratio[1].mean == pytest.approx(2 * found.ratio[1].mean, rel=1e-4)


def test_doubt_that_knows_nothing_does_not_correlate():
    found = calibrate(Doubtful(0.3), episodes(20, 30), (3,))
    assert abs(found.spearman[3].mean) < 0.25


def test_numbers_equal_a_naive_loop():
    model, data = Doubtful(0.4), episodes(3, 8)
    whiten = torch.eye(Z) * 2
    found = calibrate(model, data, (2,), whiten)
    doubt, error = [], []
    for one in data:
        for start in range(len(one.z) - 2):
            states = model(one.z[start], one.actions[start : start + 2])[:, 2]
            doubt.append(float(((2 * states).var(0, correction=0).mean()).sqrt()))
            off = 2 * (states.mean(0) - one.z[start + 2])
            error.append(float(off.square().mean().sqrt()))
    assert found.spearman[2].mean == pytest.approx(
        spearman(torch.tensor(doubt), torch.tensor(error)), abs=1e-6
    )
    assert found.ratio[2].mean == pytest.approx(np.mean(doubt) / np.mean(error), rel=1e-4)


def test_held_out_episodes_of_an_experience():
    features = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    rows = torch.arange(12.0)
    data = Experience(features, rows[:, None], rows, np.array([0, 4, 9, 12]), [0], [1, 2])
    latent = StateEncoderConfig("standardise", history=2)
    model = WorldModel(
        WorldModelConfig("toy", 1, (-1.0,), (1.0,), (CameraInput("camera", 1, 5),), latent)
    )
    first, second = held_out(model, data)
    assert first.rewards.tolist() == [4, 5, 6, 7, 8] and second.actions.tolist() == [
        [9],
        [10],
        [11],
    ]
    expected = model.state.episode(torch.from_numpy(features[9:]))
    torch.testing.assert_close(second.z, expected)


def test_results_hold_the_keys():
    found = calibrate(Doubtful(0.3), deterministic(3, 12))
    result = make_result(
        "calibration", {}, "seed200", found.rows("toy"), found.summary("toy"), "test"
    )
    for horizon in range(1, 9):
        entry = result.summary[f"spearman-h{horizon}/toy"]
        assert entry["n"] == 3 and entry["low"] <= entry["high"]
    assert "weight-cosine/toy" in result.summary


def test_weight_cosine_is_ruled_by_the_norms_gains():
    torch.manual_seed(0)
    dynamics = EnsembleDynamics(DynamicsConfig(members=3, hidden=64), 16, 2, seed=0)
    found = weight_cosine(dynamics)
    assert found["weight-cosine"] > 0.3 > abs(found["weight-cosine-matrices"]) * 5
    flat = [torch.cat([p.flatten() for p in dynamics.member(i).parameters()]) for i in range(3)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    naive = [float(torch.cosine_similarity(flat[i], flat[j], 0)) for i, j in pairs]
    assert found["weight-cosine"] == pytest.approx(np.mean(naive), rel=1e-4)
    with torch.no_grad():
        for p in dynamics.parameters():
            p[1:] = p[:1]
    assert weight_cosine(dynamics)["weight-cosine"] == pytest.approx(1)


@pytest.mark.parametrize("over", ["sum", "mean"])
def test_beta_makes_the_mean_penalty_the_mean_error(over):
    model, data = Doubtful(0.4), episodes(4, 10)
    whiten = torch.eye(Z)

    def reward(z, a):
        return z[..., 0]

    beta = calibrated_beta(model, reward, data, 3, whiten, over)
    errors, penalties = [], []
    for one in data:
        for start in range(len(one.z) - 3):
            states = model(one.z[start], one.actions[start : start + 3])
            guess = states[:, :3, 0].sum(-1).mean()
            errors.append(abs(float(guess - one.rewards[start : start + 3].sum())))
            apart = states[:, 1:].var(0, correction=0).mean(-1).sqrt()
            penalties.append(float(apart.sum() if over == "sum" else apart.mean()))
    assert beta.mean * np.mean(penalties) == pytest.approx(np.mean(errors), rel=1e-4)
    assert beta.low <= beta.mean <= beta.high and beta.n == 4


def test_refusals():
    single = EnsembleDynamics(DynamicsConfig(members=1), Z, A).member(0)
    with pytest.raises(ForesightError, match="at least 2 members and this dynamics has 1"):
        calibrate(single, episodes())
    with pytest.raises(ForesightError, match="0 held-out episodes are longer than 30 steps"):
        calibrate(Doubtful(1), episodes(), (1, 30))
    with pytest.raises(ForesightError, match="horizon of 0"):
        calibrate(Doubtful(1), episodes(), (0, 3))
    with pytest.raises(ForesightError, match="an episode has none"):
        calibrated_beta(Doubtful(1), lambda z, a: z[..., 0], episodes(reward=False))
    with pytest.raises(ForesightError, match="never differ"):
        calibrated_beta(Doubtful(0), lambda z, a: z[..., 0], episodes())
    with pytest.raises(ForesightError, match="sum or mean"):
        calibrated_beta(Doubtful(1), lambda z, a: z[..., 0], episodes(), over="max")


def test_movement_persistence_and_correlation_within_episodes_equal_naive_ones():
    model, data = Doubtful(0.4), episodes(4, 12)
    whiten = torch.eye(Z)
    found = calibrate(model, data, (2,), whiten)
    moved, error, still, within, path = [], [], [], [], []
    for one in data:
        doubts, errors = [], []
        for start in range(len(one.z) - 2):
            imagined = model(one.z[start], one.actions[start : start + 2])
            states, first = imagined[:, 2], imagined[:, 1].var(0, correction=0).mean().sqrt()
            mean = states.mean(0)
            path.append(float(first + states.var(0, correction=0).mean().sqrt()))
            doubts.append(float(states.var(0, correction=0).mean().sqrt()))
            errors.append(float((mean - one.z[start + 2]).square().mean().sqrt()))
            moved.append(float((mean - one.z[start]).square().mean().sqrt()))
            still.append(float((one.z[start + 2] - one.z[start]).square().mean().sqrt()))
        error += errors
        within.append(spearman(torch.tensor(doubts), torch.tensor(errors)))
    assert found.within[2].mean == pytest.approx(np.mean(within), abs=1e-6)
    assert found.persistence[2].mean == pytest.approx(np.mean(still), rel=1e-4)
    assert found.path[2].mean == pytest.approx(
        spearman(torch.tensor(path), torch.tensor(error)), abs=1e-6
    )
    assert found.movement[2].mean == pytest.approx(
        spearman(torch.tensor(moved), torch.tensor(error)), abs=1e-6
    )


def test_anything_that_steps_is_imagined_with():
    class Steps:
        members = 3

        def step(self, z, action):
            return z + action[..., :1] * torch.arange(3.0).view(3, *[1] * (z.ndim - 1))

    found = calibrate(Steps(), episodes(3, 8), (1, 2), torch.eye(Z))
    assert found.diversity == {} and set(found.ratio) == {1, 2}
