"""Latent states: history, statistics, principal axes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.worldmodel.config import CameraInput, StateEncoderConfig
from foresight.worldmodel.state import LinearState, build_state, encode_latents, stack_history


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 3))
def test_stack_history_equals_a_naive_loop(length, history, stride):
    features = torch.arange(length * 2.0).reshape(length, 2)
    stacked = stack_history(features, history, stride)
    for t in range(length):
        rows = [features[max(0, t - stride * k)] for k in range(history - 1, -1, -1)]
        assert torch.equal(stacked[t], torch.cat(rows))


def _features(rng, n=600, f=12):
    scales = np.linspace(0.1, 3, f)
    return (rng.normal(size=(n, f)) * scales + 5).astype(np.float32)


def test_standardised_latents_have_zero_mean_and_unit_deviation():
    features = _features(np.random.default_rng(0))
    offsets = np.array([0, 300, 600])
    state = LinearState.fit(features, offsets, [0, 1], StateEncoderConfig("standardise"))
    z = encode_latents(state, features, offsets)
    torch.testing.assert_close(z.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0), torch.ones(12), atol=1e-3, rtol=0)


def test_pca_agrees_with_a_full_decomposition():
    rng = np.random.default_rng(1)
    features = (rng.normal(size=(500, 3)) * [5, 2, 1] @ rng.normal(size=(3, 20))).astype(np.float32)
    offsets = np.array([0, 500])
    state = LinearState.fit(features, offsets, [0], StateEncoderConfig("pca", dim=3))
    centred = features - features.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    ours = state.projection.numpy()
    overlap = np.linalg.svd(axes @ ours)[1]
    np.testing.assert_allclose(overlap, 1, atol=1e-4)


def test_statistics_come_from_the_training_episodes_only():
    features = np.concatenate([np.zeros((50, 4)), np.full((50, 4), 100.0)]).astype(np.float32)
    features[:50] += np.random.default_rng(0).normal(size=(50, 4))
    state = LinearState.fit(
        features, np.array([0, 50, 100]), [0], StateEncoderConfig("standardise")
    )
    assert float(state.mean.abs().max()) < 1


def test_a_dimension_that_never_moves_is_not_blown_up():
    features = _features(np.random.default_rng(0))
    features[:, 3] = 7.0
    offsets = np.array([0, 600])
    state = LinearState.fit(features, offsets, [0], StateEncoderConfig("standardise"))
    assert float(encode_latents(state, features, offsets)[:, 3].abs().max()) < 0.1


def test_wrong_width_and_too_large_pca_are_one_sentence():
    state = LinearState(StateEncoderConfig("standardise", history=2), 8)
    with pytest.raises(ForesightError, match="takes 16 stacked features and got 8"):
        state(torch.zeros(8))
    with pytest.raises(ForesightError, match="at most 8"):
        LinearState(StateEncoderConfig("pca", dim=9), 8)


def test_chosen_numbers_of_the_robot_are_joined_and_no_others():
    config = StateEncoderConfig("standardise", proprio=True, joined=(3, 1))
    state = build_state(config, (CameraInput("camera", 1, 2),), proprio=4)
    felt = torch.arange(8.0).view(2, 4)
    joined = state.join(torch.zeros(2, 2), felt)
    assert joined.tolist() == [[0, 0, 3, 1], [0, 0, 7, 5]]
    state.fit_proprio(torch.stack([felt[0], felt[0] + 2]))
    assert state.proprio_mean.tolist() == [4, 2] and state.width == 4
    with pytest.raises(ForesightError, match="joins 4 numbers of proprioception and got 2"):
        state.join(torch.zeros(2, 2), felt[:, :2])
    with pytest.raises(ForesightError, match="number 3 of the robot's state, and it has 3"):
        build_state(config, (CameraInput("camera", 1, 2),), proprio=3)
    with pytest.raises(ForesightError, match="give places from 0 on, each once"):
        StateEncoderConfig("standardise", proprio=True, joined=(1, 1))
