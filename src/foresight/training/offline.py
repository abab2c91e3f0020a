"""Train a world model on encoded experience and measure it against persistence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint, late, write_json
from foresight.data.windows import WindowLoader
from foresight.training.batches import Data, MemberBatches
from foresight.training.experience import Experience, save_split
from foresight.training.learner_config import AdapterTraining
from foresight.training.loop import Batch, FitConfig, Record, fit
from foresight.worldmodel.config import (
    PREDICTION_ONLY,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.build import AnyDynamics
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.dynamics.history import HistoryDynamics
from foresight.worldmodel.dynamics.rollout import (
    context_of,
    is_ensemble,
    mean_rollout,
    members_of,
)
from foresight.worldmodel.dynamics.simnorm import SimNormDynamics
from foresight.worldmodel.losses import prediction_loss
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.state import LinearState, encode_latents

FROM_DATASET = AdapterTraining()
MOST_STARTS = 4096
"""Held-out windows that are looked at, in validation and for the error at each horizon."""


@dataclass(frozen=True)
class TrainConfig:
    """What to train and how."""

    fit: FitConfig = field(default_factory=FitConfig)
    state: StateEncoderConfig = field(default_factory=StateEncoderConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    heads: HeadsConfig = PREDICTION_ONLY
    """Of these, reward and continuation are learned here; without rewards there is no reward."""
    data: Data = "shuffled"
    """What the members of an ensemble see: shuffled, all windows in an order of each one's own;
    bootstrap, episodes drawn with replacement for each; shared, the same batches."""
    horizon: int = 1
    """Imagined steps in the dynamics loss; 1 is one-step training."""
    loss: Literal["smooth_l1", "mse"] = "smooth_l1"
    """Error of imagined states."""
    discount: float = 1.0
    """Weight of each further imagined step, as a factor."""
    truncate: int = 0
    """Stop the gradient every so many imagined steps; 0 lets it flow through all."""
    validation: float = 0.1
    """Share of episodes held out."""
    measure_horizon: int = 10
    """Longest horizon of the error table."""
    adapter: AdapterTraining = late(FROM_DATASET)  # noqa: RUF009 (a field)
    """Of a model whose state is an adapter. From above come seed, device, state, dynamics, heads
    (all that the dataset can teach, if not given) and the shares and horizons of the measurement.
    """


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
        replace(
            base, state=config.state, dynamics=config.dynamics, heads=_heads(config, experience)
        )
    )
    _fit_state(model, experience, config.fit.seed)
    latents = encode_latents(
        model.state, experience.features, experience.offsets, experience.proprio_if(config.state)
    )
    actions = model.normalised(experience.actions)
    arrays = {"z": latents, "action": actions}
    if model.reward is not None and experience.rewards is not None:
        arrays["reward"] = experience.rewards
    if model.continuation is not None:
        arrays["end"] = experience.ends

    # What a history model remembers is part of its window.
    window = max(config.horizon, context_of(model.dynamics) or 1) + 1
    loader = WindowLoader(
        arrays,
        experience.offsets,
        experience.train,
        window=window,
        batch=config.fit.batch,
        shuffle=True,
        seed=config.fit.seed,
    )
    if len(loader) == 0:
        raise ForesightError(
            f"No episode is longer than the training horizon of {window - 1} steps: shorten "
            "the horizon or collect longer episodes."
        )
    steps = config.fit.steps_per_epoch(len(loader))
    data = config.data if is_ensemble(model.dynamics) else None
    source = MemberBatches(loader, experience, members_of(model.dynamics), data)

    def batches(epoch: int) -> Iterator[Batch]:
        return source.take(epoch * steps, steps)

    def loss(batch: Batch) -> tuple[Tensor, Record]:
        return _loss(model, batch, config)

    starts = validation_windows(
        arrays, experience, context_of(model.dynamics) or 1, config.fit.seed
    )
    still = prediction_loss(starts["z"][:, :-1], starts["z"][:, 1:], config.loss)
    baselines = {"validation/persistence": float(still)}
    if "reward" in starts:
        baselines["validation/reward_variance"] = float(starts["reward"].var())

    seen = {name: value.to(config.fit.device) for name, value in starts.items()}

    def validate() -> Record:
        _, logs = _loss(model, seen, config)
        return {f"validation/{k}": v for k, v in logs.items()} | baselines

    identity = fingerprint(
        {
            "config": replace(config, fit=replace(config.fit, device="cpu")),
            "base": replace(model.config, spec=None),
            "actions": float(experience.actions.sum()),
        }
    )
    history = fit(
        model,
        batches,
        steps,
        loss,
        validate,
        config.fit,
        folder,
        identity,
        select="validation/loss",
        tensorboard=tensorboard,
    )
    held_out = [
        (latents[start:end], actions[start:end])
        for start, end in (experience.offsets[e : e + 2] for e in experience.validation)
    ]
    longest = min(config.measure_horizon, context_of(model.dynamics) or config.measure_horizon)
    errors = horizon_errors(model, held_out, longest)
    write_json(folder / "horizon_errors.json", errors)
    save_split(folder, experience.train, experience.validation)
    model.save(folder)
    return Trained(model, history, errors)


def _heads(config: TrainConfig, experience: Experience) -> HeadsConfig:
    """The heads that can be learned from this experience.

    Raises:
        ForesightError: an adapter, values or a prior, which this training does not learn.
    """
    heads = config.heads
    if config.state.kind == "adapter":
        raise ForesightError(
            "A state adapter is learned by a training of its own, train_from_dataset "
            "(`foresight train --state adapter`): use that, or another kind of state."
        )
    if heads.values or heads.prior or heads.proprio:
        raise ForesightError(
            f"{heads.values} values, a prior or a readout of proprioception are learned together "
            "with a state adapter (--state adapter): leave them out, or choose it."
        )
    expect_no_decoder(heads)
    return replace(heads, reward="none") if experience.rewards is None else heads


def expect_no_decoder(heads: HeadsConfig) -> None:
    """Refuse a decoder, which is learned when the state stands.

    Raises:
        ForesightError: one is asked for.
    """
    if heads.decoder:
        raise ForesightError(
            f"A decoder of {heads.decoder} pixels is learned after the model: train without, then "
            "`foresight imagine MODEL DATASET`."
        )


def _fit_state(model: WorldModel, experience: Experience, seed: int) -> None:
    fitted = LinearState.fit(
        experience.features,
        experience.offsets,
        experience.train,
        model.config.state,
        seed,
        experience.proprio_if(model.config.state),
    )
    model.state.load_state_dict(fitted.state_dict())


def _loss(model: WorldModel, batch: Batch, config: TrainConfig) -> tuple[Tensor, Record]:
    """Error of the imagined states, of rewards and of the episodes' ends.

    ``batch``: ``z [B, T, Z]``, ``action [B, T, A]``, ``reward [B, T]``, ``end [B, T]``, with an
    axis of members in front where each has its own. The losses of members add up, so that each
    learns as if alone; what is logged is their mean. The heads see the first member's windows.
    """
    z, action = batch["z"], batch["action"]
    each = dynamics_loss(model.dynamics, z, action, config)
    first = {name: value[0] if z.ndim > 3 else value for name, value in batch.items()}
    parts: dict[str, Tensor] = {}
    if model.reward is not None:
        parts["reward"] = model.reward.errors(first["z"], first["reward"], first["action"]).mean()
    if model.continuation is not None:
        parts["continuation"] = model.continuation.errors(
            first["z"], first["action"], first["end"]
        ).mean()
    mean, total, logged = each.mean(), each.sum(), each.mean()
    for part in parts.values():
        total, logged = total + part, logged + part
    logs = {"loss": logged, "dynamics": mean, **parts}
    return total, {name: float(value.detach()) for name, value in logs.items()}


def dynamics_loss(
    dynamics: AnyDynamics,
    z: Float[Tensor, "*members B T Z"],
    actions: Float[Tensor, "*members B T A"],
    config: TrainConfig,
) -> Float[Tensor, "*members"]:
    """Open-loop error over up to ``config.horizon`` steps, apart for each member.

    A network with a history predicts every next state of the window from the true ones up to it;
    with a horizon above 1 half of its loss is the open-loop error of the last ``horizon`` steps,
    imagined from the states before them.
    """
    network = dynamics.network if isinstance(dynamics, EnsembleDynamics) else dynamics
    if is_ensemble(dynamics) and z.ndim == 3:
        members = members_of(dynamics)
        z = z.expand(members, *z.shape)
        actions = actions.expand(members, *actions.shape)
    steps = z.shape[-2] - 1
    truncate = config.truncate or None

    def judge(imagined: Tensor, truth: Tensor) -> Tensor:
        return prediction_loss(imagined, truth, config.loss, config.discount)

    if not isinstance(network, HistoryDynamics):
        imagine = network.apart if isinstance(network, SimNormDynamics) else network
        return judge(
            imagine(z[..., 0, :], actions[..., :-1, :], truncate)[..., 1:, :], z[..., 1:, :]
        )
    told, _ = network.predict(z[..., :-1, :], actions[..., :-1, :])
    one_step = prediction_loss(told, z[..., 1:, :], config.loss)
    if config.horizon == 1:
        return one_step
    past = steps - config.horizon
    imagined = network(
        z[..., past, :],
        actions[..., past:-1, :],
        truncate,
        history=(z[..., :past, :], actions[..., :past, :]),
    )
    return (one_step + judge(imagined[..., 1:, :], z[..., past + 1 :, :])) / 2


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
        model: only its dynamics are used, an ensemble as the mean of its members; one with a
            history is given as much of it as its context leaves room for.
        episodes: latent states and actions of held-out episodes; those shorter than
            ``horizon + 1`` steps are left out.
        horizon: longest horizon.

    Returns:
        One entry for each horizon from 1 on, with one number for each episode.

    Raises:
        ForesightError: no episode is long enough.
    """
    context = context_of(model.dynamics)
    past = 0 if context is None else max(0, context - horizon)
    long_enough = [pair for pair in episodes if len(pair[0]) > past + horizon]
    if not long_enough:
        raise ForesightError(
            f"No held-out episode is longer than {past + horizon} steps: collect longer episodes "
            "or measure a shorter horizon."
        )
    variance = torch.cat([z for z, _ in long_enough]).var(0).sum().clamp(min=1e-12)
    model_errors: list[Tensor] = []
    still_errors: list[Tensor] = []
    for z, action in long_enough:
        every = max(1, len(z) * len(long_enough) // MOST_STARTS)
        starts = torch.arange(past, len(z) - horizon, every)
        rows = starts[:, None] + torch.arange(horizon + 1)
        truth = z[rows]
        before = starts[:, None] + torch.arange(-past, 0)
        more = {"history": (z[before], action[before])} if context is not None else {}
        imagined = mean_rollout(model.dynamics, truth[:, 0], action[rows[:, :-1]], **more)
        for kept, guess in ((model_errors, imagined), (still_errors, truth[:, :1])):
            kept.append((guess - truth).square().sum(-1).mean(0)[1:] / variance)
    ours, still = torch.stack(model_errors), torch.stack(still_errors)
    return [HorizonError(h + 1, ours[:, h].tolist(), still[:, h].tolist()) for h in range(horizon)]
