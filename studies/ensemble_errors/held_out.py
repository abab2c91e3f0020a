"""Fresh episodes that no training has seen: the agent with more and less noise, and chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, fingerprint
from foresight.core.progress import track
from foresight.perception.encoder import Encoder
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.rollout.arena import Arena, Rolled, Wander
from foresight.training.replay import latents
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder
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


class Shaky:
    """An agent whose every scene has noise of its own; some scenes have nothing but noise.

    Args:
        imaginer: the agent.
        levels: noise of each scene; None leaves the agent out and acts at random.
        seed: of the noise.
    """

    def __init__(self, imaginer: MPCPlanner, levels: Sequence[float | None], seed: int) -> None:
        self.imaginer = imaginer
        self.noise = torch.tensor([1.0 if level is None else level for level in levels])[:, None]
        self.trust = torch.tensor([0.0 if level is None else 1.0 for level in levels])[:, None]
        self.wander = Wander(imaginer.model.config.actions, seed=seed)

    def __call__(self, features: Tensor) -> Tensor:
        """Features ``[B, F]`` to actions ``[B, A]`` in [-1, 1]."""
        shake = self.noise * self.wander(features)
        return (self.trust * self.imaginer.act(features).cpu() + shake).clamp(-1, 1)


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
        Episodes of T + 1 states and T decisions, in single precision.

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
    task, repeat = model.config.task, model.config.repeat
    count = min(config.parallel, config.episodes)
    rolls = []
    with Arena(task, config.protocol, repeat, count, config.length) as arena:
        batches = range(0, config.episodes, count)
        for number in track(batches, f"{task}: held-out episodes"):
            episodes = range(number, min(number + count, config.episodes))
            path = folder / f"{number:05}.safetensors"
            identity = fingerprint({**same, "batch": list(episodes)})  # more episodes keep these
            found = _read(path, identity)
            if found is None:
                chosen = [levels[episode % len(levels)] for episode in episodes]
                act = Shaky(MPCPlanner.of(model, search, seed=number), chosen, seed=number)
                seeds = [config.first_seed + episode for episode in episodes]
                found = arena.roll(seeds, ObservationEncoder(encoder, model.state), act)
                _write(path, identity, found)
            rolls.append(found)
    return [episode for rolled in rolls for episode in _held_out(model, rolled)]


def _held_out(model: WorldModel, rolled: Rolled) -> list[HeldOut]:
    states = latents(model, rolled.features)
    return [
        HeldOut(z, a, r) for z, a, r in zip(states, rolled.actions, rolled.rewards, strict=True)
    ]


def _write(path: Path, identity: str, rolled: Rolled) -> None:
    tensors = {name: value.contiguous() for name, value in vars(rolled).items()}
    notes = {"identity": identity}
    atomic_write(path, lambda temporary: save_file(tensors, temporary, notes))


def _read(path: Path, identity: str) -> Rolled | None:
    """The batch of a file; None if there is none, or it is of another model or setting."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("identity") != identity:
                return None
            return Rolled(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, TypeError) as error:
        raise ForesightError(
            f"{path} cannot be read as held-out episodes ({error}): remove it, the same command "
            "makes it again."
        ) from error
