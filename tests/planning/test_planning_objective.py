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
    ImaginedReturn,
    NearProposal,
    Objective,
)

E, B, S, H, Z, A = 3, 2, 4, 5, 6, 2


def futures(seed=0):
    generator = torch.Generator().manual_seed(seed)
    imagined = torch.randn(E, B, S, H + 1, Z, generator=generator)
    return imagined, torch.randn(B, S, H, A, generator=generator)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Objective, "0 terms"),
        (
            lambda: Disagreement(1.0).cost(torch.zeros(1, 1, 1, 2, 2), torch.zeros(1, 1, 1, 1)),
            "got 1",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ForesightError, match=message):
        make()


@pytest.mark.parametrize("units", [None, torch.tensor([1.0, 2, 3, 4, 5, 6])])
def test_goal_distance_equals_a_naive_loop(units):
    imagined, actions = futures()
    goal = torch.randn(B, Z)
    scale = torch.ones(Z) if units is None else units
    given = None if units is None else lambda difference: difference * units
    cost = GoalDistance(goal, 2.0, given).cost(imagined, actions)
    for b in range(B):
        for s in range(S):
            far = [float((scale * (imagined[e, b, s, -1] - goal[b])).norm()) for e in range(E)]
            assert float(cost[b, s]) == pytest.approx(2 * sum(far) / E, rel=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 1.0), st.integers(0, 100))
def test_reward_and_value_are_the_discounted_return(discount, seed):
    imagined, actions = futures(seed)
    term = ImaginedReturn(
        lambda z, a: z[..., 0] * a[..., 0], lambda z: z.sum(-1), discount, weight=2.0
    )
    cost = term.cost(imagined, actions)
    for b in range(B):
        for s in range(S):
            total = 0.0
            for e in range(E):
                for t in range(H):
                    total += discount**t * float(imagined[e, b, s, t, 0] * actions[b, s, t, 0])
                total += discount**H * float(imagined[e, b, s, H].sum())
            assert float(cost[b, s]) == pytest.approx(-2 * total / E, rel=1e-3, abs=1e-4)


def test_models_with_members_of_their_own_are_averaged():
    imagined, actions = futures()
    gains = torch.tensor([1.0, -3.0]).view(2, 1, 1, 1)

    def nothing(z, a):
        return torch.zeros(z.shape[:-1])

    value = ImaginedReturn(nothing, lambda z: gains * z[..., 0]).cost(imagined, actions)
    torch.testing.assert_close(value, imagined[..., -1, 0].mean(0))


def test_disagreement_equals_a_naive_loop_in_given_units():
    imagined, actions = futures()
    std = torch.rand(Z) + 0.5
    cost = Disagreement(2.0, lambda future: future / std).cost(imagined, actions)
    for b in range(B):
        for s in range(S):
            total = 0.0
            for t in range(1, H + 1):
                for z in range(Z):
                    x = [float(imagined[e, b, s, t, z] / std[z]) for e in range(E)]
                    mean = sum(x) / E
                    total += (sum((v - mean) ** 2 for v in x) / (E - 1)) ** 0.5 / Z
            assert float(cost[b, s]) == pytest.approx(2 * total / H, rel=1e-3)


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


def test_each_scene_can_have_its_own_weight_of_straying():
    torch.manual_seed(0)
    proposed, actions = torch.rand(3, 4, 2), torch.rand(3, 5, 4, 2)
    futures = torch.zeros(2, 3, 5, 5, 5)
    weights = torch.tensor([0.0, 2.0, 7.0])
    found = NearProposal(proposed, weights).cost(futures, actions)
    for scene, weight in enumerate(weights.tolist()):
        alone = NearProposal(proposed, weight).cost(futures, actions)
        torch.testing.assert_close(found[scene], alone[scene])


def test_terms_add_up():
    imagined, actions = futures()
    terms = [Effort(2.0), Disagreement(0.1)]
    expected = sum(term.cost(imagined, actions) for term in terms)
    torch.testing.assert_close(Objective(*terms).cost(imagined, actions), expected)
