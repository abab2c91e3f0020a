import torch

from foresight.planning.guided import first_proposal, guided_search, prior_of
from foresight.planning.objective import GoalDistance, NearProposal, Objective
from foresight.policies.mpc import ImagineConfig

SIZES = ImagineConfig(horizon=3, samples=16, elites=4, iterations=2, prior_samples=5)


class Integrator:
    """Actions move the state by themselves."""

    def step(self, z, action):
        return z + action


def searched(sizes=SIZES):
    """A search towards the origin, and the states that its policy was asked in."""
    asked = []

    def policy(z):
        asked.append(z.clone())
        return (-z).clamp(-1, 1)

    return guided_search(
        Integrator(), prior_of(policy, 2, 0.2, torch.device("cpu")), sizes, 0
    ), asked


def test_the_anchor_is_one_of_the_candidates_and_is_rolled_out_once():
    search, asked = searched()
    z = torch.tensor([[0.5, -0.3]])
    proposed = first_proposal(search, z)
    assert len(asked) == 3
    wanted, state = [], z
    for _ in range(3):
        wanted.append((-state).clamp(-1, 1))
        state = Integrator().step(state, wanted[-1])
    torch.testing.assert_close(proposed, torch.stack(wanted, 1))
    # A heavy anchor: of all candidates the proposal itself is the cheapest.
    objective = Objective(GoalDistance(torch.zeros(2)), NearProposal(proposed, 1e6))
    plan = search.plan(z, objective)
    assert len(asked) == 3
    torch.testing.assert_close(plan.elites[:, 0], proposed)


def test_proposals_are_drawn_anew_for_every_decision():
    search, _ = searched()
    z = torch.tensor([[0.5, -0.3]])
    first_proposal(search, z)
    drawn = search.options.prior.drawn[1]
    search.plan(z, Objective(GoalDistance(torch.zeros(2))))
    assert search.options.prior.drawn is None
    again = search.options.prior.sample(z, 5, 3, search.dynamics, search.generator)
    torch.testing.assert_close(again[:, 0], drawn[:, 0])
    assert (again[:, 1:] != drawn[:, 1:]).any()


def test_what_was_drawn_for_another_state_is_not_used():
    search, _ = searched()
    first_proposal(search, torch.zeros(1, 2))
    other = torch.tensor([[0.5, -0.3]])
    found = search.options.prior.sample(other, 5, 3, search.dynamics, search.generator)
    torch.testing.assert_close(found[:, 0, 0], -other)
