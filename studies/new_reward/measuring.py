"""What a frozen model does for another reward, beside what its agent did before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foresight.core.files import file_fingerprint
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.statistics import Row, Summary, best_trivial, condition_difference
from foresight.planning.config import MPCConfig
from foresight.policies.actor import ActorFactory
from foresight.policies.mpc import MPCFactory
from foresight.policies.registry import MakePolicy
from studies.new_reward.learning import ACTOR, CRITIC, PlannedFactory

OURS = ("planned", "actor")
SCRATCH = "scratch"


def ours_beside_old(
    trial: EvalConfig, checkpoint: Path, out: Path, search: MPCConfig, book: EpisodeCache
) -> list[Row]:
    """Episodes of ``planned``, ``actor`` and ``old-policy``.

    Args:
        trial: environment, which pays the new reward, and seeds.
        checkpoint: of the frozen model.
        out: what `studies.new_reward.learning.learn` left.
        search: of ``planned``.
        book: finished rows.
    """
    model = str(checkpoint)
    policies: dict[str, MakePolicy] = {
        "planned": PlannedFactory(model, str(out), search),
        "actor": ActorFactory(str(out / ACTOR)),
        "old-policy": MPCFactory(model),
    }
    rows: list[Row] = []
    for name, factory in policies.items():
        # Reward and critic decide, too, and are no part of the folder that is hashed.
        told = file_fingerprint(out / f"{CRITIC}.safetensors") if name == "planned" else None
        rows += assess_policy(trial, name, factory, book, data=told).rows
    return rows


def differences(rows: Sequence[Row], task: str) -> Summary:
    """Ours minus the old policy and minus the best of what needs no skill, paired by seed."""
    episodes = [row for row in rows if "measure" not in row]
    rivals = {"old-policy": "old-policy", "best-trivial": best_trivial(episodes, task)}
    if any(row["condition"] == SCRATCH for row in episodes):
        rivals[SCRATCH] = SCRATCH
    found: Summary = {}
    for ours in OURS:
        for name, rival in rivals.items():
            if rival is not None:
                difference = condition_difference(episodes, task, ours, rival)
                found[f"{ours}-minus-{name}/{task}"] = difference.as_dict()
    return found
