"""Drift of models whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.diagnostics.drift import Track, drift, other_means
from foresight.diagnostics.forecasters import ACForecaster, WorldModelForecaster
from foresight.evaluation.results import make_result
from foresight.perception.ac import ACModel
from foresight.perception.ac_checkpoint import random_ac_predictor
from foresight.perception.ac_layers import ACConfig
from foresight.worldmodel.config import CameraInput, StateEncoderConfig, WorldModelConfig
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.state import LinearState


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Rotor:
    """x' = R x + a, rolled with a wrong angle: it drifts by ``slip`` each step."""

    limit = None

    def __init__(self, slip: float) -> None:
        turn = torch.tensor(0.2 + slip)
        self.matrix = torch.stack(
            [torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])]
        )

    def step(self, x):
        return x @ self.matrix.T

    def open_loop(self, start, controls):
        states = [start]
        for _ in range(controls.shape[1]):
            states.append(self.step(states[-1]))
        return torch.stack(states[1:], 1)

    def closed_loop(self, seen, controls):
        return self.step(seen)


def circle(length=40, phase=0.0):
    angle = 0.2 * torch.arange(length) + phase
    x = torch.stack([angle.cos(), angle.sin()], -1)[:, None]
    return Track(x, x, torch.zeros(length, 1))


def numbers(rows):
    return make_result("drift", {}, "none", rows).summary


def test_open_loop_drifts_by_the_angle_and_closed_loop_does_not():
    tracks = [circle(phase=p) for p in (0.0, 1.0, 2.0)]
    summary = numbers(drift(Rotor(slip=0.05), tracks, (1, 5, 10, 30)))
    for h in (1, 5, 10, 30):
        assert summary[f"cosine-raw-open/h{h}"]["mean"] == pytest.approx(np.cos(0.05 * h), abs=1e-5)
        assert summary[f"cosine-raw-closed/h{h}"]["mean"] == pytest.approx(np.cos(0.05), abs=1e-5)
        still = summary[f"persistence:cosine-raw-open/h{h}"]["mean"]
        assert still == pytest.approx(np.cos(0.2 * h), abs=1e-5)
        assert summary[f"mean:cosine-centred-open/h{h}"]["mean"] == 0
        assert summary[f"mean:l1-centred-open/h{h}"]["mean"] == pytest.approx(1, abs=1e-5)
        assert summary[f"cosine-raw-open/h{h}"]["n"] == 3


def test_a_perfect_model():
    summary = numbers(drift(Rotor(slip=0.0), [circle(12)], (1, 5, 100)))
    assert "cosine-raw-open/h100" not in summary
    for loop in ("open", "closed"):
        assert summary[f"cosine-centred-{loop}/h5"]["mean"] == pytest.approx(1)
        assert summary[f"l1-raw-{loop}/h5"]["mean"] == pytest.approx(0, abs=1e-6)


def test_numbers_equal_a_naive_loop():
    track = Track(*(randn(9, 3, 4, seed=1),) * 2, randn(9, 2))
    mean = randn(3, 4, seed=2)

    class Noise:
        limit = None

        def open_loop(self, start, controls):
            return start[:, None] * (1 + torch.arange(controls.shape[1]))[None, :, None, None] + 0.5

        def closed_loop(self, seen, controls):
            return 2 * seen - 1

    rows = drift(Noise(), [track], (2, 4), starts=100, mean=mean, batch=2)
    found = {(r["measure"], r["task"], r.get("condition")): r["value"] for r in rows}
    x = track.features
    for h in (2, 4):
        cosines, off, away = [], [], []
        for start in range(9 - 4):
            guess, truth = x[start] * h + 0.5, x[start + h]
            for token in range(3):
                a, b = guess[token] - mean[token], truth[token] - mean[token]
                cosines.append(float(a @ b / a.norm() / b.norm()))
            off.append(float((guess - truth).abs().mean()))
            away.append(float((truth - mean).abs().mean()))
        key = f"h{h}"
        assert found["cosine-centred-open", key, None] == pytest.approx(np.mean(cosines), abs=1e-5)
        assert found["l1-raw-open", key, None] == pytest.approx(np.mean(off), abs=1e-5)
        relative = np.mean(off) / np.mean(away)
        assert found["l1-centred-open", key, None] == pytest.approx(relative, abs=1e-5)
        closed = [float((2 * x[s + h - 1] - 1 - x[s + h]).abs().mean()) for s in range(5)]
        assert found["l1-raw-closed", key, None] == pytest.approx(np.mean(closed), abs=1e-5)
        still = [float((x[s + h - 1] - x[s + h]).abs().mean()) for s in range(5)]
        assert found["l1-raw-closed", key, "persistence"] == pytest.approx(np.mean(still), abs=1e-5)


def test_means_leave_their_own_track_out():
    tracks = [Track(x, x, randn(len(x), 1)) for x in (randn(3, 1, 2), randn(5, 1, 2, seed=1))]
    first, second = other_means(tracks)
    torch.testing.assert_close(first, tracks[1].features.mean(0))
    torch.testing.assert_close(second, tracks[0].features.mean(0))


@pytest.mark.parametrize("kind", ["raw", "standardise", "pca"])
def test_world_model(kind):
    latent = StateEncoderConfig(kind, dim=6, history=2)
    sizes = DynamicsConfig(hidden=16, layers=1)
    features = [randn(30, 5, seed=s).numpy() for s in range(3)]
    config = WorldModelConfig(
        "reacher-easy", 2, (-1.0,) * 2, (1.0,) * 2, (CameraInput("camera", 1, 5),), latent, sizes
    )
    model = WorldModel(config).eval()
    model.state = LinearState.fit(np.concatenate(features), np.arange(0, 91, 30), [0, 1, 2], latent)
    forecaster = WorldModelForecaster(model)
    tracks = [forecaster.track([f], np.zeros((30, 2), np.float32)) for f in features]
    if kind != "pca":
        shown = tracks[0].features[:, 0]
        torch.testing.assert_close(shown, torch.from_numpy(features[0]), atol=1e-4, rtol=0)
    start, controls = tracks[0].inputs[:2], tracks[0].controls[None, :4].expand(2, -1, -1)
    ahead = forecaster.open_loop(start, controls)
    state = model.dynamics.step(model.dynamics.step(start, controls[:, 0]), controls[:, 1])
    torch.testing.assert_close(ahead[:, 1], model.state.present(state)[:, None])
    summary = numbers(drift(forecaster, tracks, (1, 10)))
    # One step ahead, both loops start from the same state.
    open_, closed = (summary[f"cosine-raw-{loop}/h1"]["mean"] for loop in ("open", "closed"))
    assert open_ == pytest.approx(closed, abs=1e-5)
    with pytest.raises(ForesightError, match="do not fit 30 steps"):
        forecaster.track(features[:1], np.zeros((30, 3), np.float32))


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_an_ensemble_counts_as_the_mean_of_its_members(kind):
    sizes = DynamicsConfig(kind, members=2, hidden=16, layers=1, context=4)
    config = WorldModelConfig(
        "reacher-easy", 2, (-1.0,) * 2, (1.0,) * 2, (CameraInput("camera", 1, 5),), dynamics=sizes
    )
    forecaster = WorldModelForecaster(WorldModel(config).eval())
    assert forecaster.limit == (4 if kind == "transformer" else None)
    start, controls = randn(3, 5), randn(3, 4, 2, seed=1)
    expected = forecaster.model.dynamics(start, controls).mean(0)[:, 1:]
    torch.testing.assert_close(forecaster.open_loop(start, controls)[..., 0, :], expected)
    closed = forecaster.closed_loop(start[:, None].expand(3, 4, 5), controls)
    torch.testing.assert_close(closed[:, 0, 0], expected[:, 0])


class Eyes:
    """An encoder whose tokens are its pixels."""

    name, dim, grid, tubelet = "pixels", 3, 2, 2

    def encode(self, frames):
        frames = torch.as_tensor(frames)
        return frames[:, :1].float()


def test_ac_model():
    predictor = random_ac_predictor(ACConfig(3, 64, 1, 1, 64, 2, 6))
    forecaster = ACForecaster(ACModel(Eyes(), predictor, allow_foreign=True))
    frames = np.random.default_rng(0).integers(0, 256, (9, 2, 2, 3), dtype=np.uint8)
    poses = 0.1 * randn(9, 7).numpy()
    track = forecaster.track(frames, poses)
    assert track.features.shape == (9, 4, 3) and track.controls.shape == (9, 14)
    np.testing.assert_allclose(track.controls[:-1, :3], np.diff(poses[:, :3], axis=0), atol=1e-6)
    assert not forecaster.track(frames).controls.any()
    summary = numbers(drift(forecaster, [track], (1, 5, 8)))
    assert "cosine-raw-open/h5" in summary and "cosine-raw-open/h8" not in summary  # limit 6
    start, controls = track.inputs[:1], track.controls[None, :1]
    torch.testing.assert_close(
        forecaster.open_loop(start, controls), forecaster.closed_loop(start[:, None], controls)
    )
    with pytest.raises(ForesightError, match="Poses of shape"):
        forecaster.track(frames, poses[:3])


def test_bad_requests():
    with pytest.raises(ForesightError, match="long enough"):
        drift(Rotor(0.0), [circle(4)], (5, 10))
    with pytest.raises(ForesightError, match="horizons from 1 on"):
        drift(Rotor(0.0), [circle(4)], (0,))
    broken = Rotor(0.0)
    broken.matrix = broken.matrix * torch.nan
    with pytest.raises(ForesightError, match="not finite"):
        drift(broken, [circle(4)], (1,))
