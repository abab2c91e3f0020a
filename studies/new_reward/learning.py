"""From a learned model and another reward to a head, an actor and a critic; nothing is acted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, file_fingerprint, read_json, write_json
from foresight.core.machine import torch_threads
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig
from foresight.perception.encoder import load_encoder
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner, unit_of
from foresight.planning.objective import ImaginedReturn
from foresight.policies.actor import Actor
from foresight.policies.mpc import MPCPolicy, hold_of
from foresight.training.imagination import ImaginationConfig
from foresight.training.imagination_run import ActorTrainer, ActorTraining
from foresight.training.replay import Replay
from foresight.training.run_data import DATA, load_replay, run_of, without_pictures
from foresight.worldmodel.heads.scalar import ScalarConfig, ScalarHead
from foresight.worldmodel.heads.training import HeadTraining, episode_rows, train_head
from foresight.worldmodel.model import WorldModel

REWARD, CRITIC, ACTOR, REPORT = "reward", "critic", "actor", "report.json"
HELD_OUT = 10
"""Every so many episodes one is not learned from."""
SAME = 1e-4
"""Largest difference of a reward that is simulated again."""


class Reward(Protocol):
    """Something else to be paid for in the world of a run."""

    @property
    def key(self) -> str:
        """Its name."""

    def again(self, decisions: int, repeat: int) -> EnvConfig:
        """Where episodes of so many decisions at the most, each held for ``repeat`` steps, are
        simulated again: it pays the other reward, and tells the own one as ``own_reward``.
        """


def relabelled(reward: Reward, model: WorldModel, folder: Path) -> Float[Tensor, " n"]:
    """What every decision of a run would have earned, simulated again from seeds and actions.

    Args:
        reward: the other one.
        model: of the run; says how long a decision is held.
        folder: of the run.

    Raises:
        ForesightError: an episode does not earn again what it had earned.
    """
    dataset = Dataset.open(folder / DATA)
    episodes = without_pictures(dataset)
    env = reward.again(max(map(len, episodes)), model.config.repeat).make()
    found: list[float] = []
    for episode in episodes:
        env.reset(seed=int(episode.info["seed"]))
        assert episode.reward is not None
        for action, before in zip(episode.action, episode.reward, strict=True):
            _, earned, _, _, info = env.step(action)
            if abs(info["own_reward"] - float(before)) > SAME:
                raise ForesightError(
                    f"Episode {episode.info['seed']} of {folder} earned {float(before):g} in a "
                    f"decision and {info['own_reward']:g} when it was simulated again: relabel "
                    "with the MuJoCo that it was recorded with."
                )
            found.append(float(earned))
    return torch.tensor(found)


def learn_reward(
    model: WorldModel, replay: Replay, config: HeadTraining, held_out: int = HELD_OUT
) -> tuple[ScalarHead, dict[str, float]]:
    """A reward head on frozen states, and what it is worth on episodes it has not seen.

    Args:
        model: whose reward head has the shape.
        replay: states, actions and the rewards to be learned.
        config: how.
        held_out: every so many episodes one is not learned from.
    """
    assert isinstance(model.reward, ScalarHead)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = ScalarHead(model.latent, model.config.actions, model.reward.config)
    seen = episode_rows(replay.offsets, [i for i in range(len(replay)) if i % held_out])
    place = episode_rows(replay.offsets, range(0, len(replay), held_out))

    def loss(rows: Tensor) -> Tensor:
        return head.loss(replay.states[rows], replay.rewards[rows], replay.actions[rows])

    def drawn(generator: torch.Generator) -> Tensor:
        return loss(seen[torch.randint(len(seen), (config.batch,), generator=generator)])

    # The last weights: what is held out says how good they are, and is not to choose them.
    train_head(head, drawn, lambda: float(loss(place)), config, keep="last")
    head.requires_grad_(False)
    guess, true = head(replay.states[place], replay.actions[place]), replay.rewards[place]
    left = float((guess - true).square().mean() / true.var().clamp(min=1e-12))
    return head, {"reward-r2": 1 - left, "reward-mean": float(replay.rewards.mean())}


def learn(
    reward: Reward,
    checkpoint: Path,
    out: Path,
    head: HeadTraining,
    dream: ActorTraining,
    held_out: int = HELD_OUT,
) -> dict[str, float]:
    """All that a reward needs beside a frozen model, into a folder; what is there is kept.

    Returns:
        What is told of it: how well the reward is read off held-out episodes.

    Raises:
        ForesightError: as `relabelled` and `ActorTrainer`.
    """
    if (out / REPORT).exists():
        return {name: float(value) for name, value in read_json(out / REPORT).items()}
    model = WorldModel.load(checkpoint)
    replay = load_replay(model, checkpoint)
    earned = relabelled(reward, model, run_of(checkpoint))
    replay.rewards[episode_rows(replay.offsets, range(len(replay)))] = earned
    with torch_threads(1):
        model.reward, report = learn_reward(model, replay, head, held_out)
    about = {"weights": file_fingerprint(checkpoint / "model.safetensors"), "reward": reward.key}
    trainer = ActorTrainer(model, replay, dream, out / ACTOR, **about)
    trainer.run()
    _save(model.reward, out / REWARD)
    _save(trainer.critic(), out / CRITIC)
    write_json(out / REPORT, report)
    return report


def _save(head: ScalarHead, stem: Path) -> None:
    weights = {name: value.contiguous() for name, value in head.state_dict().items()}
    write_json(stem.with_suffix(".json"), asdict(head.config))
    atomic_write(stem.with_suffix(".safetensors"), lambda path: save_file(weights, path))


def _load(latent: int, actions: int, stem: Path) -> ScalarHead:
    config = ScalarConfig(**json.loads(stem.with_suffix(".json").read_text()))
    head = ScalarHead(latent, actions, config)
    head.load_state_dict(load_file(stem.with_suffix(".safetensors")))
    return head.eval().requires_grad_(False)


@dataclass(frozen=True)
class PlannedFactory:
    """Makes the search in an old model for another reward, with the dreamt critic at its end."""

    checkpoint: str
    """Of the old model."""
    learned: str
    """Folder that `learn` filled."""
    search: MPCConfig

    def __call__(self, spec: Spec) -> MPCPolicy:
        """Load everything and build the policy."""
        model, out = WorldModel.load(self.checkpoint), Path(self.learned)
        actor = Actor.load(out / ACTOR)
        reward = _load(model.latent, model.config.actions, out / REWARD)
        critic = _load(model.latent, 0, out / CRITIC)
        aim = ImaginedReturn(reward, critic, model.config.discount, weight=unit_of(model))
        planner = MPCPlanner.of(model, self.search, terms=[aim], propose=actor.net.mean_action)
        encoder = load_encoder(model.config.encoder)
        return MPCPolicy(model, encoder, self.search, hold_of(model, spec), planner)


def dreams(updates: int) -> ActorTraining:
    """An actor that begins with weights of its own, for the prior was taught something else."""
    return ActorTraining(updates=updates, dream=ImaginationConfig(start="fresh"))
