"""Causality, exact caches, histories and their limits, against runs over all frames."""

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.attention import causal
from foresight.worldmodel.dynamics.history import HistoryDynamics, Remembering

Z, A, K = 12, 2, 6
KINDS = {
    "vector": {},
    "grid": {"tokens": 4},
    "factorised": {"tokens": 4, "factorised": True},
}


def lively(kind: str) -> HistoryDynamics:
    """A network none of whose layers is still at zero."""
    torch.manual_seed(0)
    model = HistoryDynamics(Z, A, 16, 2, 2, K, **KINDS[kind]).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def film(frames: int = K, batch: tuple[int, ...] = (3,)):
    torch.manual_seed(1)
    return torch.randn(*batch, frames, Z).double(), torch.randn(*batch, frames, A).double()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_network_is_persistence_and_learns(kind):
    model = HistoryDynamics(Z, A, 16, 2, 2, K, **KINDS[kind])
    z, a = (part.float() for part in film())
    assert torch.equal(model.predict(z, a)[0], z)
    model.predict(z, a)[0].square().mean().backward()
    assert float(model.out.bias.grad.abs().sum()) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_stepping_with_a_cache_equals_the_run_over_all_frames(kind):
    model = lively(kind)
    z, a = film()
    whole, _ = model.predict(z, a)
    cache, pieces = None, []
    for start, end in ((0, 2), (2, 3), (3, 6)):
        piece, cache = model.predict(z[:, start:end], a[:, start:end], cache)
        pieces.append(piece)
    assert cache.frames == K
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_sees_a_later_one_and_all_see_their_own_action(kind):
    model = lively(kind)
    z, a = film()
    before, _ = model.predict(z, a)
    other = a.clone()
    other[:, 3] += 1
    after, _ = model.predict(z, other)
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=0, atol=1e-12)
    assert float((after[:, 3:] - before[:, 3:]).abs().flatten(2).amax(-1).min()) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_open_loop_with_history_equals_a_naive_loop(kind):
    model = lively(kind)
    z, a = film()
    imagined = model(z[:, 2], a[:, 2:5], history=(z[:, :2], a[:, :2]))
    seen = z[:, :3]
    for t in range(3):
        following = model.predict(seen, a[:, : 3 + t])[0][:, -1]
        torch.testing.assert_close(imagined[:, t + 1], following)
        seen = torch.cat([seen, following[:, None]], 1)
    assert torch.equal(imagined[:, 0], z[:, 2])


def test_the_past_matters_and_a_step_sees_the_present_alone():
    model = lively("vector")
    z, a = film()
    alone = model(z[:, 2], a[:, 2:4])
    torch.testing.assert_close(alone[:, 1], model.step(z[:, 2], a[:, 2]))
    known = model(z[:, 2], a[:, 2:4], history=(z[:, :2], a[:, :2]))
    assert float((known - alone).abs().max()) > 1e-3


def test_truncation_leaves_no_gradient_to_earlier_steps():
    model = lively("grid")
    z, a = film()
    a.requires_grad_()
    free = model(z[:, 0], a)
    imagined = model(z[:, 0], a, truncate=2)
    torch.testing.assert_close(imagined, free)
    (grad,) = torch.autograd.grad(imagined[:, -1].sum(), a)
    assert float(grad[:, :4].abs().max()) == 0 < float(grad[:, 4:].abs().min())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("past", [0, 2])
def test_imagine_equals_each_candidate_on_its_own(kind, past):
    model = lively(kind)
    z, a = film(past + 1, (2,))
    actions = torch.randn(2, 5, 3, A).double()
    history = (z[:, :past], a[:, :past])
    imagined = Remembering(model, history).imagine(z[:, -1], actions)
    assert imagined.shape == (1, 2, 5, 4, Z)
    for b in range(2):
        for s in range(5):
            one = model(z[b, -1], actions[b, s], history=(history[0][b], history[1][b]))
            torch.testing.assert_close(imagined[0, b, s], one)
    if past == 0:
        torch.testing.assert_close(model.imagine(z[:, -1], actions), imagined)


def test_any_leading_axes_and_dtype():
    model = lively("factorised")
    z, a = film(1, (2, 3))
    stepped = model.step(z[..., 0, :], a[..., 0, :])
    torch.testing.assert_close(stepped[1, 2], model.step(z[1, 2, 0], a[1, 2, 0]))
    rounded = model.bfloat16().step(z[..., 0, :].float(), a[..., 0, :].float())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, stepped.float(), atol=0.2, rtol=0.1)


def test_causal_mask_of_frames():
    assert causal(1, 3, None, torch.device("cpu")) is None
    past = (torch.empty(1, 1, 2, 1), torch.empty(1, 1, 2, 1))
    mask = causal(2, 2, past, torch.device("cpu")).int().tolist()
    early, late = [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]
    assert mask == [early, early, late, late]


def test_too_long_a_horizon_is_one_sentence():
    model = lively("vector")
    z, a = film()
    with pytest.raises(
        ForesightError, match=r"history of 3 steps and a horizon of 4 .* horizon to 3"
    ):
        model(z[:, 3], torch.zeros(3, 4, A).double(), history=(z[:, :3], a[:, :3]))
    with pytest.raises(ForesightError, match="horizon of 7"):
        model.imagine(z[:, 0], torch.zeros(3, 2, 7, A).double())
    with pytest.raises(ForesightError, match="do not divide"):
        HistoryDynamics(Z, A, 16, tokens=5)
