"""What one unit of a planner's disagreement is worth, in the return that it plans for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import Interval
from foresight.planning.mpc import MPCPlanner
from foresight.planning.objective import Disagreement, ImaginedReturn
from studies.ensemble_errors.calibration import worth_of_doubt
from studies.ensemble_errors.imagined_errors import HeldOut, imagined_windows
from studies.whitening import Whitening


@torch.inference_mode()
def planning_beta(
    imaginer: MPCPlanner,
    episodes: Sequence[HeldOut],
    whiten: Float[Tensor, "Z Z"] | None,
    seed: int = 0,
) -> Interval:
    """The weight β at which the planner's penalty equals, on average, its error in return.

    A plan promises ``Ĵ = Σ_{t<H} γ^t r̂(ẑ_t, a_t) + γ^H V(ẑ_H)``, averaged over the members. On
    held-out windows, where the actions' true rewards and the true end are known, it was worth
    ``J = Σ_{t<H} γ^t r_t + γ^H V(z_H)``; what is left is the error of imagining. With the
    planner's own `Disagreement` D (whitened, mean over the imagined steps)

    ``β = E|Ĵ - J| / E[D]``

    so ``Ĵ - β D`` is a typical lower value of what the plan will bring. Horizon, members, precision
    and discount are the planner's.

    Args:
        imaginer: the planner, of two members or more.
        episodes: held out, with rewards, in the model's latent space.
        whiten: W, of the training states; None for the raw latent space, in which
            `MPCConfig.uncertainty_penalty` counts.
        seed: of the bootstrap over episodes.

    Returns:
        β with its interval.

    Raises:
        ForesightError: one member, rewards missing, too few episodes, or members that never differ.
    """
    if any(one.rewards is None for one in episodes):
        raise ForesightError("β is set in units of reward and an episode has none: give rewards.")
    model, horizon = imaginer.model, imaginer.config.horizon
    discount = model.config.discount
    judge = ImaginedReturn(model.reward_of, model.value_of, discount)
    doubt = Disagreement(1.0, None if whiten is None else Whitening(whiten))
    powers = discount ** torch.arange(horizon)
    errors, penalties, owner = [], [], []
    for index, run in enumerate(imagined_windows(model.dynamics, episodes, horizon)):
        assert run.rewards is not None
        futures, actions = run.states[:, None], run.actions[None]  # one scene, many candidates
        promised = -judge.cost(futures, actions)[0]
        end = model.value_of(run.truth[:, -1]).mean(0)
        kept = (run.rewards * powers).sum(-1) + discount**horizon * end
        errors.append((promised - kept).abs())
        penalties.append(doubt.cost(futures, actions)[0])
        owner.append(torch.full((len(kept),), index))
    return worth_of_doubt(
        torch.cat(errors).float(), torch.cat(penalties).float(), torch.cat(owner), seed
    )
