"""Train a cloned policy on encoded demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from foresight.core.files import fingerprint
from foresight.data.windows import WindowLoader
from foresight.policies.cloned import ClonedPolicy, CloningConfig
from foresight.training.experience import Experience
from foresight.training.loop import Batch, FitConfig, Record, fit
from foresight.worldmodel.actions import normalised
from foresight.worldmodel.state import LinearState, encode_latents


@dataclass(frozen=True)
class CloningTraining:
    """How a cloned policy is trained."""

    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=100, batch=256))
    validation: float = 0.1
    """Share of episodes held out."""


def train_cloning(
    experience: Experience, config: CloningConfig, training: CloningTraining, folder: Path | str
) -> tuple[ClonedPolicy, list[Record]]:
    """Fit the network to (latent state, shown action) pairs; resumable.

    Returns:
        The policy at the epoch of lowest held-out error, and one record per epoch; beside the
        held-out error stands that of always giving the mean action.
    """
    folder = Path(folder)
    torch.manual_seed(training.fit.seed)
    policy = ClonedPolicy(config)
    proprio = experience.proprio_if(config.state)
    statistics = LinearState.fit(
        experience.features,
        experience.offsets,
        experience.train,
        config.state,
        training.fit.seed,
        proprio,
    )
    policy.state.load_state_dict(statistics.state_dict())
    z = encode_latents(policy.state, experience.features, experience.offsets, proprio)
    actions = normalised(experience.actions, config)
    arrays = {"z": z, "action": actions}

    def loader(episodes: list[int]) -> WindowLoader:
        return WindowLoader(
            arrays,
            experience.offsets,
            episodes,
            window=1,
            batch=training.fit.batch,
            shuffle=True,
            seed=training.fit.seed,
        )

    def loss(batch: Batch) -> tuple[Tensor, Record]:
        return policy({"z": batch["z"][:, 0], "action": batch["action"][:, 0]})

    train = loader(experience.train)

    def batches(epoch: int) -> Iterator[Batch]:
        train.set_epoch(epoch)
        yield from train

    rows = torch.cat(
        [
            torch.arange(int(experience.offsets[e]), int(experience.offsets[e + 1]))
            for e in experience.validation
        ]
    )
    device = training.fit.device
    held_out = {"z": z[rows].to(device), "action": actions[rows].to(device)}
    mean_action = actions.mean(0).to(device)

    def validate() -> Record:
        _, logs = policy(held_out)
        constant = (held_out["action"] - mean_action).square().mean()
        return {"validation/loss": logs["loss"], "validation/mean_action": float(constant)}

    history = fit(
        policy,
        batches,
        len(train),
        loss,
        validate,
        training.fit,
        folder,
        fingerprint(
            {
                "training": replace(training, fit=replace(training.fit, device="cpu")),
                "policy": replace(config, spec=None),
            }
        ),
        select="validation/loss",
    )
    policy.save(folder)
    return policy, history
