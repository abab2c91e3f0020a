"""Train a world model on encoded experience and measure it against persistence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foresight.data.windows import WindowLoader
from foresight.errors import ForesightError
from foresight.files import fingerprint, write_json
from foresight.worldmodel.experience import Experience
from foresight.worldmodel.fit import Batch, FitConfig, Record, fit
from foresight.worldmodel.latent import LatentConfig, LatentState, encode_latents
from foresight.worldmodel.model import WorldModel, WorldModelConfig

MOST_STARTS = 4096
"""Held-out windows that are looked at, in validation and for the error at each horizon."""


@dataclass(frozen=True)
class TrainConfig:
    """What to train and how."""

    fit: FitConfig = field(default_factory=FitConfig)
    latent: LatentConfig = field(default_factory=LatentConfig)
    horizon: int = 1
    """Imagined steps in the dynamics loss; 1 is the sources' one-step training."""
    hidden: int = 512
    """Width of the dynamics network."""
    layers: int = 3
    """Hidden layers of the dynamics network."""
    validation: float = 0.1
    """Share of episodes held out."""
    measure_horizon: int = 10
    """Longest horizon of the error table."""


@dataclass(frozen=True)
class HorizonError:
    """Open-loop squared error after ``horizon`` steps, one mean for each held-out episode.

    In units of the latent's variance, so that 1 is what predicting the mean gives.
    """

    horizon: int
    model: list[float]
    persistence: list[float]
    """The error of predicting that nothing changes."""

    @property
    def skill(self) -> float:
        """The share of persistence's error that the model removes."""
        still = sum(self.persistence)
        return 1 - sum(self.model) / still if still > 0 else 0.0


@dataclass(frozen=True)
class Trained:
    """A trained model and the evidence for it."""

    model: WorldModel
    history: list[Record]
    horizon_errors: list[HorizonError]


def train_world_model(
    experience: Experience,
    base: WorldModelConfig,
    config: TrainConfig,
    folder: Path | str,
    tensorboard: bool = False,
) -> Trained:
    """Fit the latent state, then dynamics and reward side by side; resumable.

    Dynamics and reward share no parameter, so adding their losses trains both as if alone.
    The checkpoint (``config.json``, ``model.safetensors``), ``training.safetensors``,
    ``metrics.jsonl`` and ``horizon_errors.json`` go to ``folder``.

    Args:
        experience: features, actions and rewards, split by episode.
        base: task, sizes and fingerprints; the network fields are taken from ``config``.
        config: what to train.
        folder: where the files go.
        tensorboard: log there as well.

    Raises:
        ForesightError: episodes too short for the horizon, or another training's folder.
    """
    folder = Path(folder)
    torch.manual_seed(config.fit.seed)
    model = WorldModel(
        replace(base, latent=config.latent, hidden=config.hidden, layers=config.layers)
    )
    model.latent.load_state_dict(
        LatentState.fit(
            experience.features,
            experience.offsets,
            experience.train,
            config.latent,
            config.fit.seed,
        ).state_dict()
    )
    latents = encode_latents(model.latent, experience.features, experience.offsets)
    arrays = {"z": latents, "action": experience.actions, "reward": experience.rewards}

    def loader(episodes: list[int], window: int, shuffle: bool) -> WindowLoader:
        return WindowLoader(
            arrays,
            experience.offsets,
            episodes,
            window=window,
            batch=config.fit.batch,
            shuffle=shuffle,
            seed=config.fit.seed,
        )

    training = loader(experience.train, config.horizon + 1, True)
    if len(training) == 0:
        raise ForesightError(
            f"No episode is longer than the training horizon of {config.horizon} steps: shorten "
            "the horizon or collect longer episodes."
        )

    def batches(epoch: int) -> Iterator[Batch]:
        training.set_epoch(epoch)
        yield from training

    def loss(batch: Batch) -> tuple[Tensor, Record]:
        return _loss(model, batch)

    starts = validation_windows(arrays, experience, 1, config.fit.seed)
    still = functional.smooth_l1_loss(starts["z"][:, 0], starts["z"][:, 1])
    baselines = {
        "validation/persistence": float(still),
        "validation/reward_variance": float(starts["reward"].var()),
    }

    def validate() -> Record:
        _, logs = _loss(model, starts)
        return {f"validation/{k}": v for k, v in logs.items()} | baselines

    identity = fingerprint(
        {"config": config, "base": model.config, "actions": float(experience.actions.sum())}
    )
    history = fit(
        model,
        batches,
        len(training),
        loss,
        validate,
        config.fit,
        folder,
        identity,
        select="validation/loss",
        tensorboard=tensorboard,
    )
    held_out = [
        (latents[start:end], experience.actions[start:end])
        for start, end in (experience.offsets[e : e + 2] for e in experience.validation)
    ]
    errors = horizon_errors(model, held_out, config.measure_horizon)
    write_json(folder / "horizon_errors.json", errors)
    model.save(folder)
    return Trained(model, history, errors)


def _loss(model: WorldModel, batch: Batch) -> tuple[Tensor, Record]:
    """SmoothL1 over the imagined states plus MSE of the rewards.

    ``batch``: ``z [B, H+1, Z]``, ``action [B, H+1, A]``, ``reward [B, H+1]``.
    """
    z, action = batch["z"], batch["action"]
    imagined = model.dynamics(z[:, 0], action[:, :-1])
    dynamics = functional.smooth_l1_loss(imagined[:, 1:], z[:, 1:])
    reward = functional.mse_loss(model.reward(z, action), batch["reward"])
    loss = dynamics + reward
    return loss, {
        "loss": float(loss.detach()),
        "dynamics": float(dynamics.detach()),
        "reward": float(reward.detach()),
    }


def validation_windows(
    arrays: dict[str, Tensor], experience: Experience, horizon: int, seed: int
) -> Batch:
    """Up to 4,096 windows of ``horizon + 1`` steps from held-out episodes, as one batch.

    Raises:
        ForesightError: no held-out episode is long enough.
    """
    loader = WindowLoader(
        arrays,
        experience.offsets,
        experience.validation,
        window=horizon + 1,
        batch=MOST_STARTS,
        shuffle=True,
        seed=seed,
    )
    for batch in loader:
        return {name: value.clone() for name, value in batch.items()}
    raise ForesightError(
        f"No held-out episode is longer than {horizon} steps: collect longer episodes or measure a "
        "shorter horizon."
    )


@torch.inference_mode()
def horizon_errors(
    model: WorldModel,
    episodes: Sequence[tuple[Float[Tensor, "T Z"], Float[Tensor, "T A"]]],
    horizon: int,
) -> list[HorizonError]:
    """Open-loop error at each horizon beside what doing nothing would give.

    Args:
        model: only its dynamics are used.
        episodes: latent states and actions of held-out episodes; those shorter than
            ``horizon + 1`` steps are left out.
        horizon: longest horizon.

    Returns:
        One entry for each horizon from 1 on, with one number for each episode.

    Raises:
        ForesightError: no episode is long enough.
    """
    long_enough = [pair for pair in episodes if len(pair[0]) > horizon]
    if not long_enough:
        raise ForesightError(
            f"No held-out episode is longer than {horizon} steps: collect longer episodes or "
            "measure a shorter horizon."
        )
    variance = torch.cat([z for z, _ in long_enough]).var(0).sum().clamp(min=1e-12)
    model_errors: list[Tensor] = []
    still_errors: list[Tensor] = []
    for z, action in long_enough:
        starts = torch.arange(0, len(z) - horizon, max(1, len(z) * len(long_enough) // MOST_STARTS))
        rows = starts[:, None] + torch.arange(horizon + 1)
        truth = z[rows]
        imagined = model.dynamics(truth[:, 0], action[rows[:, :-1]])
        for kept, guess in ((model_errors, imagined), (still_errors, truth[:, :1])):
            kept.append((guess - truth).square().sum(-1).mean(0)[1:] / variance)
    ours, still = torch.stack(model_errors), torch.stack(still_errors)
    return [HorizonError(h + 1, ours[:, h].tolist(), still[:, h].tolist()) for h in range(horizon)]
