"""Every term against a naive loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.planning.objective import (
    Disagreement,
    Effort,
    GoalDistance,
    NearProposal,
    Objective,
    PredictedReward,
    TerminalValue,
)
from foresight.worldmodel.whitening import Whitening

E, B, S, H, Z, A = 3, 2, 4, 5, 6, 2


def futures(seed=0):
    generator = torch.Generator().manual_seed(seed)
    imagined = torch.randn(E, B, S, H + 1, Z, generator=generator)
    return imagined, torch.randn(B, S, H, A, generator=generator)


def correlated(seed=0):
    draws = torch.randn(500, Z, generator=torch.Generator().manual_seed(seed))
    return draws @ torch.diag(torch.tensor([9.0, 1, 1, 0.5, 1, 2])) @ torch.linalg.qr(draws[:Z])[0]


def test_whitening_by_covariance_makes_data_white():
    data = correlated()
    whitening = Whitening.from_covariance(data.T.cov())
    torch.testing.assert_close(whitening(data).T.cov(), torch.eye(Z), atol=1e-3, rtol=0)
    d = data[0] - data[1]
    mahalanobis = (d @ torch.linalg.inv(data.T.cov()) @ d).sqrt()
    torch.testing.assert_close(whitening(d).norm(), mahalanobis, rtol=1e-3, atol=0)


def test_whitening_by_standard_deviation_and_its_floor():
    std = torch.tensor([2.0, 0.5, 0.0])
    torch.testing.assert_close(
        Whitening.from_std(std)(torch.ones(3)), torch.tensor([0.5, 2.0, 50.0])
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Whitening.from_std(torch.zeros(3)), r"shape \[3\] cannot whiten"),
        (lambda: Whitening.from_std(torch.tensor([1.0, torch.nan])), "cannot whiten"),
        (lambda: Whitening.from_covariance(torch.randn(2, 3)), r"shape \[2, 3\] cannot whiten"),
        (lambda: Whitening.from_covariance(torch.tensor([[1.0, 2.0], [0, 1]])), "symmetric"),
        (Objective, "0 terms"),
        (lambda: GoalDistance(torch.zeros(2), "last"), "over 'last'"),  # type: ignore[arg-type]
        (lambda: Disagreement(1.0, over="max"), "over 'max'"),  # type: ignore[arg-type]
        (
            lambda: Disagreement(1.0).cost(torch.zeros(1, 1, 1, 2, 2), torch.zeros(1, 1, 1, 1)),
            "got 1",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ForesightError, match=message):
        make()


@pytest.mark.parametrize("over", ["final", "sum", "closest"])
@pytest.mark.parametrize("kind", ["std", "covariance"])
def test_whitened_goal_distance_equals_a_naive_loop(over, kind):
    imagined, actions = futures()
    goal = torch.randn(B, Z)
    data = correlated()
    if kind == "std":
        whitening, matrix = Whitening.from_std(data.std(0)), torch.diag(1 / data.std(0))
    else:
        whitening = Whitening.from_covariance(data.T.cov())
        values, vectors = torch.linalg.eigh(data.T.cov())
        matrix = vectors @ torch.diag(values**-0.5) @ vectors.T
    cost = GoalDistance(goal, over, 2.0, whitening).cost(imagined, actions)
    for b in range(B):
        for s in range(S):
            members = []
            for e in range(E):
                d = [
                    float((matrix @ (imagined[e, b, s, t] - goal[b])).norm())
                    for t in range(1, H + 1)
                ]
                members.append({"final": d[-1], "sum": sum(d) / H, "closest": min(d)}[over])
            assert float(cost[b, s]) == pytest.approx(2 * sum(members) / E, rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 1.0), st.integers(0, 100))
def test_reward_and_value_are_the_discounted_return(discount, seed):
    imagined, actions = futures(seed)
    objective = Objective(
        PredictedReward(lambda z, a: z[..., 0] * a[..., 0], discount=discount),
        TerminalValue(lambda z: z.sum(-1), discount=discount),
    )
    cost = objective.cost(imagined, actions)
    for b in range(B):
        for s in range(S):
            total = 0.0
            for e in range(E):
                for t in range(H):
                    total += discount**t * float(imagined[e, b, s, t, 0] * actions[b, s, t, 0])
                total += discount**H * float(imagined[e, b, s, H].sum())
            assert float(cost[b, s]) == pytest.approx(-total / E, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("members", ["mean", "min"])
def test_models_with_members_of_their_own(members):
    imagined, actions = futures()
    gains = torch.tensor([1.0, -2.0]).view(2, 1, 1, 1)
    value = TerminalValue(lambda z: gains * z[..., 0], members=members).cost(imagined, actions)
    both = torch.stack([imagined[..., -1, 0], -2 * imagined[..., -1, 0]])
    expected = both.mean(0) if members == "mean" else both.amin(0)
    torch.testing.assert_close(value, -expected.mean(0))
    # Without members of its own, it is the futures' members that are averaged or doubted.
    plain = TerminalValue(lambda z: z[..., 0], members=members).cost(imagined, actions)
    last = imagined[..., -1, 0]
    torch.testing.assert_close(plain, -(last.mean(0) if members == "mean" else last.amin(0)))


@pytest.mark.parametrize("over", ["mean", "sum"])
def test_disagreement_equals_a_naive_loop_in_whitened_units(over):
    imagined, actions = futures()
    std = torch.rand(Z) + 0.5
    cost = Disagreement(2.0, Whitening.from_std(std), over).cost(imagined, actions)
    for b in range(B):
        for s in range(S):
            total = 0.0
            for t in range(1, H + 1):
                for z in range(Z):
                    x = [float(imagined[e, b, s, t, z] / std[z]) for e in range(E)]
                    mean = sum(x) / E
                    total += (sum((v - mean) ** 2 for v in x) / (E - 1)) ** 0.5 / Z
            expected = 2 * total / (H if over == "mean" else 1)
            assert float(cost[b, s]) == pytest.approx(expected, rel=1e-3)


def test_members_that_agree_cost_nothing():
    imagined, actions = futures()
    same = imagined[:1].expand(E, -1, -1, -1, -1)
    assert float(Disagreement(5.0).cost(same, actions).abs().max()) < 1e-5


def test_straying_from_a_proposal_costs_its_mean_square():
    torch.manual_seed(0)
    proposed, actions = torch.rand(1, 4, 2), torch.rand(1, 3, 4, 2)
    found = NearProposal(proposed, 0.7).cost(torch.zeros(2, 1, 3, 5, 5), actions)
    for sample in range(3):
        naive = 0.7 * float(((actions[0, sample] - proposed[0]) ** 2).mean())
        assert float(found[0, sample]) == pytest.approx(naive)


def test_terms_add_up():
    imagined, actions = futures()
    terms = [Effort(2.0), Disagreement(0.1)]
    expected = sum(term.cost(imagined, actions) for term in terms)
    torch.testing.assert_close(Objective(*terms).cost(imagined, actions), expected)
