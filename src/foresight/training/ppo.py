"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) of stable-baselines3.

The library's own algorithm on flat inputs; what is added is a folder from which a killed run goes
on, without pickles. Inputs and rewards are divided by their running deviations.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float32
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.observation import Observation
from foresight.core.progress import track
from foresight.core.training_state import save_training
from foresight.envs.registry import EnvConfig, spec_of
from foresight.perception.senses import FlatRobot, Senses
from foresight.policies.ppo import CLIP, PPOActor, PPOActorConfig
from foresight.rollout.run import seeded
from foresight.training.acting_config import ActingConfig
from foresight.training.learning_run import STATE, TrainingRun
from foresight.worldmodel.actions import scaled

MOMENTS = ("mean", "var", "count")


@dataclass(frozen=True)
class PPOTraining(ActingConfig):
    """Where, for how long and how; numbers of updates are the library's own defaults."""

    parallel: int = 4
    """Episodes side by side."""
    length: int = 500
    """Decisions of each between two updates; every round begins new episodes, so choose the length
    of one, or a multiple."""
    hidden: tuple[int, ...] = (64, 64)
    """Width of the layers of actor and critic."""
    lr: float = 3e-4
    """Adam's learning rate."""
    batch: int = 100
    """Decisions of a gradient step; the library's 64 would not divide 2,000."""
    epochs: int = 10
    """Passes over the decisions of a round."""
    discount: float = 0.99
    """γ of one decision."""
    mixture: float = 0.95
    """λ of the advantages."""
    clip: float = 0.2
    """How far the new policy's odds may move within a round."""
    save_every: int = 5
    """Rounds between two saved states."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.length, self.epochs) < 1 or self.batch < 2:
            raise ForesightError(
                f"Rounds of {self.length} decisions, {self.epochs} epochs and batches of "
                f"{self.batch} teach nothing: choose positive numbers and batches of 2 or more."
            )


class FlatEnv(gymnasium.Env[Any, Any]):
    """An environment whose observations are flat numbers and whose actions lie in [-1, 1].

    Args:
        env: what to make; its pictures are the senses' matter.
        senses: of this environment alone.

    Attributes:
        returns: of the episodes that are over.
    """

    def __init__(self, env: EnvConfig, senses: Senses) -> None:
        self.env = senses.environment(env).make()
        self.senses, spec = senses, spec_of(self.env)
        self.robot: FlatRobot = senses.robot(spec)
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.robot.inputs,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (len(spec.action),), np.float32)
        self.returns: list[float] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[np.ndarray, " X"], dict[str, Any]]:
        """Begin an episode."""
        self.senses.reset()
        self.earned = 0.0
        raw, info = self.env.reset(seed=seed, options=options)
        return self._sense(raw, info), {}

    def step(
        self, action: Float32[np.ndarray, " A"]
    ) -> tuple[Float32[np.ndarray, " X"], float, bool, bool, dict[str, Any]]:
        """Take one decision."""
        wanted = scaled(torch.from_numpy(np.asarray(action, np.float32)), self.robot)
        raw, reward, terminated, truncated, info = self.env.step(wanted.numpy())
        self.earned += float(reward)
        if terminated or truncated:
            self.returns.append(self.earned)
        return self._sense(raw, info), float(reward), terminated, truncated, {}

    def _sense(self, raw: Any, info: dict[str, Any]) -> Float32[np.ndarray, " X"]:
        return self.senses.read([Observation.of(raw, info=info)])[0].astype(np.float32)

    def close(self) -> None:
        """Free the environment."""
        self.env.close()


class PPOTrainer(TrainingRun):
    """Learns in an environment; the folder holds the actor's checkpoint, the log and the state.

    A run that was killed at whatever moment goes on and ends as it would have: every round begins
    new episodes, and its chance follows from the seed and its number.

    Args:
        config: what to learn.
        folder: of the run.

    Raises:
        ForesightError: stable-baselines3 is missing, an unknown environment or encoder, or a folder
            of another run.
    """

    def __init__(self, config: PPOTraining, folder: Path | str) -> None:
        require("stable_baselines3", "PPO")
        self.config = config
        senses = config.senses().fingerprint
        super().__init__(Path(folder), config, torch.device("cpu"), senses=senses)

    def run(self) -> PPOActor:
        """Learn until the decisions are spent; leaves the checkpoint in the folder.

        Raises:
            ForesightError: what the environment has to say, or weights that are not finite.
        """
        if not self._finished:
            self._open()
            config = self.config
            envs = [FlatEnv(config.env, config.senses()) for _ in range(config.parallel)]
            with self._alone(), seeded(config.seed):
                self._begin(envs)
                with closing(self.copies):
                    rounds = -(-config.decisions // (config.length * config.parallel))
                    for number in track(range(self.rounds, rounds), f"{config.env.id}: PPO"):
                        self._round(number)
                self._save()
            self._write_identity(finished=True)
        return PPOActor.load(self.checkpoint)

    def _begin(self, envs: list[FlatEnv]) -> None:
        """Build everything, or take up what an earlier run left."""
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

        config, self.envs = self.config, envs
        inside = DummyVecEnv([lambda env=env: env for env in envs])  # type: ignore[misc]
        self.copies = VecNormalize(inside, clip_obs=CLIP, gamma=config.discount)
        self.algorithm = PPO(
            "MlpPolicy",
            self.copies,
            learning_rate=config.lr,
            n_steps=config.length,
            batch_size=config.batch,
            n_epochs=config.epochs,
            gamma=config.discount,
            gae_lambda=config.mixture,
            clip_range=config.clip,
            policy_kwargs={"net_arch": list(config.hidden)},
            seed=config.seed,
            device="cpu",
        )
        state = self._state()
        if state is not None:
            self.algorithm.policy.load_state_dict(state.part("policy"))
            for name, kept in self._running().items():
                for moment in MOMENTS:
                    value = state.part(name)[moment].numpy()
                    setattr(kept, moment, value if value.ndim else value[()])
            state.restore(self.algorithm.policy.optimizer)
            self.rounds = int(state.notes["rounds"])
        self.log.rewind(self.rounds)

    def _round(self, number: int) -> None:
        """New episodes, and what they teach.

        Raises:
            ForesightError: weights that are not finite.
        """
        config, algorithm = self.config, self.algorithm
        decisions = config.length * config.parallel
        with self.watch.stage("learn"), seeded(config.seeds(number)[0]):
            for env in self.envs:
                env.returns.clear()
            self.copies.seed(config.seeds(number)[0])
            algorithm._last_obs = None  # makes it begin new episodes
            try:
                algorithm.learn(decisions, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
            except ValueError:  # of torch's distributions, when weights are not finite
                if self._finite:
                    raise
        if not self._finite:
            raise ForesightError(
                f"Weights of PPO are not finite after round {number}: lower the rate (now "
                f"{config.lr}), or look for inputs and rewards that are far too large."
            )
        self.rounds = number + 1
        returns = [each for env in self.envs for each in env.returns]
        values = {"return": sum(returns) / len(returns)} if returns else {}
        lived = self.rounds * decisions
        self.log.write(self.rounds, decisions=lived, **values, **self.watch.numbers())
        if self.rounds % config.save_every == 0:
            self._save()

    @property
    def _finite(self) -> bool:
        return all(bool(p.isfinite().all()) for p in self.algorithm.policy.parameters())

    def _running(self) -> dict[str, Any]:
        """What inputs and returns are divided by."""
        return {"inputs": self.copies.obs_rms, "returns": self.copies.ret_rms}

    def _save(self) -> None:
        """Everything to go on from here; the state first, since it is what a resume believes."""
        policy = self.algorithm.policy
        parts: dict[str, dict[str, Tensor]] = {"policy": policy.state_dict()}
        for name, kept in self._running().items():
            parts[name] = {m: torch.as_tensor(np.asarray(getattr(kept, m))) for m in MOMENTS}
        notes = {"rounds": str(self.rounds)}
        save_training(self.checkpoint / STATE, self.identity, parts, policy.optimizer, notes)
        self._actor(parts["policy"], parts["inputs"]).save(self.checkpoint)

    def _actor(self, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> PPOActor:
        """The part of the library's policy that decides."""
        actor = PPOActor(PPOActorConfig(**vars(self.envs[0].robot), hidden=self.config.hidden))
        deep = 2 * len(self.config.hidden)
        found = {"mean": inputs["mean"].float(), "variance": inputs["var"].float()}
        for kind in ("weight", "bias"):
            for i in range(0, deep, 2):
                found[f"net.{i}.{kind}"] = weights[f"mlp_extractor.policy_net.{i}.{kind}"]
            found[f"net.{deep}.{kind}"] = weights[f"action_net.{kind}"]
        actor.load_state_dict(found)
        return actor
