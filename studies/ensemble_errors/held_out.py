"""Fresh episodes that no training has seen: the agent with more and less noise, and chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, fingerprint
from foresight.core.observation import Observation
from foresight.core.policy import BatchPolicy
from foresight.core.progress import track
from foresight.core.spec import Spec
from foresight.envs.registry import EnvConfig
from foresight.perception.encoder import Encoder
from foresight.planning.config import MPCConfig
from foresight.policies.registry import make_policy
from foresight.rollout.vector import VectorRollout
from foresight.training.exploring import ExploringPolicy
from foresight.training.replay import latents
from foresight.worldmodel.model import WorldModel
from studies.ensemble_errors.imagined_errors import HeldOut

FIRST_SEED = 500_000
"""Apart from evaluation (0 and up), constants (10,000), datasets (20,000) and learning
(1,000,000 and up)."""


@dataclass(frozen=True)
class HeldOutConfig:
    """Which episodes are held out."""

    episodes: int = 40
    """How many."""
    parallel: int = 8
    """Side by side."""
    noises: tuple[float, ...] = (0.0, 0.2, 0.5, 1.0)
    """Deviation of lasting noise on the agent's actions, in units of half their range; episodes
    take these in turn, and after the last one an episode of random actions alone."""
    length: int | None = None
    """Environment steps of an episode, the protocol's if not given."""
    protocol: str = "seed200"
    """Length of episodes."""
    first_seed: int = FIRST_SEED
    """Seed of the first one."""


NOISE = "ar1:0.8:clip"
"""The lasting noise."""


class NoisyAgent(BatchPolicy):
    """An agent whose every scene has noise of its own; some scenes have nothing but noise.

    Args:
        agent: acts in all scenes.
        levels: noise of each scene, in units of half the action range; None leaves the agent out
            and acts at random.
        spec: of the robot.
    """

    def __init__(self, agent: BatchPolicy, levels: Sequence[float | None], spec: Spec) -> None:
        self.agent, self.spec = agent, spec
        self.strength = np.array([1.0 if level is None else level for level in levels])[:, None]
        self.share = np.array([0.0 if level is None else 1.0 for level in levels])[:, None]
        self.noise = [make_policy(NOISE, spec) for _ in levels]

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin an episode of every scene."""
        self.agent.reset_batch(observations, seeds)
        for noise, observation, seed in zip(self.noise, observations, seeds, strict=True):
            noise.reset(observation, seed)

    def act_batch(
        self, observations: Sequence[Observation], active: Sequence[bool] | None = None
    ) -> Float32[np.ndarray, "N A"]:
        """The agent's actions, disturbed, within the bounds."""
        pairs = zip(self.noise, observations, strict=True)
        noise = self._unit(np.stack([noise.act(seen) for noise, seen in pairs]))
        chosen = self._unit(self.agent.act_batch(observations, active))
        mixed = np.clip(self.share * chosen + self.strength * noise, -1, 1)
        low, high = self.spec.low, self.spec.high
        return (low + (mixed + 1) / 2 * (high - low)).astype(np.float32)

    def _unit(self, actions: Float32[np.ndarray, "N A"]) -> np.ndarray:
        low, high = self.spec.low, self.spec.high
        return (actions - low) / (high - low) * 2 - 1


def collect_held_out(
    model: WorldModel,
    encoder: Encoder,
    search: MPCConfig,
    config: HeldOutConfig,
    folder: Path,
) -> list[HeldOut]:
    """Roll the episodes, or read those that ``folder`` holds from the same model and settings.

    Args:
        model: trained; acts, and gives the latent states.
        encoder: its eyes.
        search: how it plans.
        config: how many episodes, of what.
        folder: one file for each batch of episodes; a stopped run goes on there.

    Returns:
        Episodes of T states and decisions, in single precision.

    Raises:
        ForesightError: fewer than two episodes, or settings that do not fit the task.
    """
    if config.episodes < 2 or config.parallel < 1:
        raise ForesightError(
            f"{config.episodes} held-out episodes, {config.parallel} side by side, are too few: "
            "ask for at least 2, and 1."
        )
    weights = fingerprint(b"".join(w.cpu().numpy().tobytes() for w in model.state_dict().values()))
    same = {"held out": replace(config, episodes=0), "search": search, "weights": weights}
    levels: list[float | None] = [*config.noises, None]
    count = min(config.parallel, config.episodes)
    found: list[HeldOut] = []
    with VectorRollout(_environment(model, encoder, config), count, images=False) as rollout:
        batches = range(0, config.episodes, count)
        for number in track(batches, f"{model.config.task}: held-out episodes"):
            episodes = range(number, min(number + count, config.episodes))
            path = folder / f"{number:05}.safetensors"
            identity = fingerprint({**same, "batch": list(episodes)})  # more episodes keep these
            batch = _read(path, identity)
            if batch is None:
                agent = ExploringPolicy(model, encoder, search, seed=number, explore=False)
                chosen = [levels[episode % len(levels)] for episode in episodes]
                seeds = [config.first_seed + episode for episode in episodes]
                batch = _played(model, rollout, agent, chosen, seeds)
                _write(path, identity, batch)
            found += batch
    return found


def _environment(model: WorldModel, encoder: Encoder, config: HeldOutConfig) -> EnvConfig:
    """The model's task, one step a decision, seen as in training."""
    repeat = model.config.repeat
    return EnvConfig(
        model.config.task,
        protocol=config.protocol,
        size=encoder.image_size,
        quality="smooth",
        action_repeat=repeat,
        time_limit=None if config.length is None else config.length // repeat,
    )


def _played(
    model: WorldModel,
    rollout: VectorRollout,
    agent: ExploringPolicy,
    levels: Sequence[float | None],
    seeds: Sequence[int],
) -> list[HeldOut]:
    """One batch of episodes."""
    played = rollout.run(NoisyAgent(agent, levels, rollout.spec), seeds)
    seen = agent.episodes([len(episode) for episode in played])
    found = []
    for episode, features in zip(played, seen, strict=True):
        steps = model.state.join(features.float(), torch.from_numpy(episode.state))
        z = latents(model, model.state.stack(steps))
        reward = episode.reward
        found.append(
            HeldOut(
                z,
                model.normalised(torch.from_numpy(episode.action)),
                None if reward is None else torch.from_numpy(reward),
            )
        )
    return found


def _write(path: Path, identity: str, batch: Sequence[HeldOut]) -> None:
    tensors = {
        f"{index}.{name}": value.contiguous()
        for index, episode in enumerate(batch)
        for name, value in vars(episode).items()
        if value is not None
    }
    notes = {"identity": identity, "episodes": str(len(batch))}
    atomic_write(path, lambda temporary: save_file(tensors, temporary, notes))


def _read(path: Path, identity: str) -> list[HeldOut] | None:
    """The batch of a file; None if there is none, or it is of another model or setting."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
        if notes.get("identity") != identity:
            return None
        tensors = load_file(path)
        return [
            HeldOut(tensors[f"{i}.z"], tensors[f"{i}.actions"], tensors.get(f"{i}.rewards"))
            for i in range(int(notes["episodes"]))
        ]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ForesightError(
            f"{path} cannot be read as held-out episodes ({error}): remove it, the same command "
            "makes it again."
        ) from error
