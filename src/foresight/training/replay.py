"""Episodes of any length in memory: features, actions, rewards, what an expert would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.worldmodel.model import WorldModel

CHUNK = 32
"""Episodes whose states are read at a time."""
BLOCK = 4096


@dataclass(frozen=True)
class Windows:
    """H decisions each, from anywhere in an episode; what lies beyond its end is masked."""

    features: Float[Tensor, "*shape F"]
    """Features of the first observation; F is 0 where nobody wants to see."""
    states: Float[Tensor, "*shape H+1 Z"]
    """Latent states, as the adapter gave them at the last refresh."""
    actions: Float[Tensor, "*shape H A"]
    rewards: Float[Tensor, "*shape H"]
    rows: Int[Tensor, "*shape"]
    """Of the first observation in the replay."""
    proprio: Float[Tensor, "*shape P"]
    """The robot's own numbers at the first observation."""
    expert_actions: Float[Tensor, "*shape H A"]
    """What the expert would have done; NaN where nobody asked."""
    acted: Bool[Tensor, "*shape H"]
    """Whether the decision belongs to the episode; its reward is known then."""
    followed: Bool[Tensor, "*shape H"]
    """Whether the observation after the decision is known."""
    ended: Bool[Tensor, "*shape H"]
    """Whether the decision terminated the episode: nothing can be earned after it."""

    def to(self, device: torch.device) -> Windows:
        """The same windows elsewhere."""
        return Windows(*(getattr(self, field.name).to(device) for field in fields(self)))


class Replay:
    """Every decision seen so far, one episode after the other; windows never cross an end.

    Args:
        capacity: observations that fit.
        features: F numbers of an observation and its past, kept in bfloat16, in which they are
            read.
        actions: A.
        proprio: P.
        latent: Z.
        views: shifted ones of each observation, beside the one that is acted on.

    Attributes:
        offsets: rows ``offsets[i]:offsets[i + 1]`` are the observations of episode i.
        lengths: decisions of each episode: as many as observations, or one less where the
            observation after the last decision is known, too.
        terminated: whether an episode was ended by its task.
        asked: whether an expert was asked in it.
    """

    def __init__(
        self,
        capacity: int,
        features: int,
        actions: int,
        proprio: int = 0,
        latent: int = 0,
        views: int = 0,
    ) -> None:
        self.features = torch.zeros(capacity, features, dtype=torch.bfloat16)
        self.shifted = torch.zeros(views, capacity, features, dtype=torch.bfloat16)
        self.actions = torch.zeros(capacity, actions)
        self.expert_actions = torch.full((capacity, actions), torch.nan)
        self.rewards = torch.zeros(capacity)
        self.proprio = torch.zeros(capacity, proprio)
        self.states = torch.zeros(capacity, latent)
        self.offsets = np.zeros(1, np.int64)
        self.lengths = np.zeros(0, np.int64)
        self.terminated = np.zeros(0, bool)
        self.asked = np.zeros(0, bool)

    def __len__(self) -> int:
        """Episodes held."""
        return len(self.lengths)

    @property
    def decisions(self) -> int:
        """Decisions of all episodes."""
        return int(self.lengths.sum())

    @property
    def returns(self) -> Float[Tensor, " n"]:
        """Return of every episode; rewards after the last decision are 0."""
        return torch.stack([self.rewards[self.rows(i)].sum() for i in range(len(self))])

    @property
    def followed(self) -> Int[Tensor, " n"]:
        """Rows of the decisions whose next observation is known: the row after them."""
        ends = zip(self.offsets[:-1], np.diff(self.offsets), strict=True)
        return torch.cat([torch.arange(first, first + seen - 1) for first, seen in ends])

    def rows(self, episode: int) -> slice:
        """Where the observations of an episode are."""
        return slice(int(self.offsets[episode]), int(self.offsets[episode + 1]))

    def add(
        self,
        features: Float[Tensor, "O F"],
        actions: Float[Tensor, "T A"],
        rewards: Float[Tensor, " T"],
        terminated: bool = False,
        proprio: Float[Tensor, "O P"] | None = None,
        expert_actions: Float[Tensor, "T A"] | None = None,
        shifted: Float[Tensor, "V O F"] | None = None,
    ) -> None:
        """Append an episode of T decisions and O observations: T, or T + 1 with the last one.

        Raises:
            ForesightError: there is no room left, numbers are not finite, or lengths do not fit.
        """
        seen, done, first = len(features), len(actions), int(self.offsets[-1])
        if not 1 <= done <= seen <= done + 1 or len(rewards) != done:
            raise ForesightError(
                f"An episode of {seen} observations, {done} actions and {len(rewards)} rewards "
                "does not fit together: give as many of each, or one more observation."
            )
        if first + seen > len(self.features):
            raise ForesightError(
                f"The replay has room for {len(self.features)} observations and got "
                f"{first + seen}: make it larger."
            )
        if not all(part.isfinite().all() for part in (features, actions, rewards)):
            raise ForesightError(
                "An episode holds numbers that are not finite: check the encoder's weights."
            )
        self.features[first : first + seen] = features
        if len(self.shifted):
            # Without any, the picture itself stands for its views.
            self.shifted[:, first : first + seen] = features if shifted is None else shifted
        self.actions[first : first + done] = actions
        self.rewards[first : first + done] = rewards
        if proprio is not None and self.proprio.shape[-1]:
            self.proprio[first : first + seen] = proprio
        asked = expert_actions is not None and bool(expert_actions.isfinite().any())
        if expert_actions is not None:
            self.expert_actions[first : first + done] = expert_actions
        self.offsets = np.append(self.offsets, first + seen)
        self.lengths = np.append(self.lengths, done)
        self.terminated = np.append(self.terminated, terminated)
        self.asked = np.append(self.asked, asked)

    def follow(
        self, first: Int[Tensor, " B"], horizon: int
    ) -> tuple[Int[Tensor, "B H+1"], Bool[Tensor, "B H"], Bool[Tensor, " B"]]:
        """What comes after some observations; an episode's last one stands for what is beyond it.

        Args:
            first: their rows.
            horizon: H.

        Returns:
            Rows of the observations, which decisions belong to the episode, and whether all rewards
            of H decisions are known: the episode is long enough, or its task ended it.
        """
        start = first.numpy()
        episode = np.searchsorted(self.offsets, start, side="right") - 1
        steps, rows = self._following(episode, start - self.offsets[episode], horizon)
        acted = steps[:, :-1] < self.lengths[episode][:, None]
        whole = acted.all(1) | self.terminated[episode]
        return torch.from_numpy(rows), torch.from_numpy(acted), torch.from_numpy(whole)

    def seen(
        self, rows: Int[Tensor, "*shape"], random: np.random.Generator
    ) -> Float[Tensor, "*shape F"]:
        """Features of observations, each in one of its views, drawn at random."""
        flat = rows.flatten()
        found = self.features.index_select(0, flat)  # several times as fast as indexing
        if len(self.shifted):
            view = torch.from_numpy(random.integers(0, len(self.shifted) + 1, tuple(rows.shape)))
            for index, features in enumerate(self.shifted):
                chosen = (view.flatten() == index + 1).nonzero()[:, 0]
                found.index_copy_(0, chosen, features.index_select(0, flat[chosen]))
        return found.view(*rows.shape, -1)

    @torch.no_grad()
    def refresh(self, encode: Callable[[Tensor], Tensor], since: int = 0) -> None:
        """Read the states anew off the features of all episodes from number ``since`` on.

        Chunks begin at fixed episodes, so that a state does not depend on what was added when.
        """
        for first in range(since // CHUNK * CHUNK, len(self), CHUNK):
            last = min(first + CHUNK, len(self))
            rows = slice(int(self.offsets[first]), int(self.offsets[last]))
            self.states[rows] = encode(self.features[rows]).to(self.states)

    def sample(
        self,
        shape: tuple[int, ...],
        horizon: int,
        random: np.random.Generator,
        share: float = 0.0,
        see: bool = False,
        own: Bool[np.ndarray, "E episodes"] | None = None,
    ) -> Windows:
        """Random windows of ``horizon`` decisions; each that there is comes equally often.

        A window lies within its episode, but where the task ended the episode it may begin at any
        decision, and where an episode is shorter it begins with it.

        Args:
            shape: of the batch.
            horizon: H.
            random: the only source of chance.
            share: of the windows that come from episodes with an expert's answers, at least; the
                others come from all episodes.
            see: with the features of the first observation, in any of its views.
            own: the episodes that each entry of the first axis of ``shape`` draws from; all if it
                has none among those seen so far.
        """
        starts = np.where(self.terminated, self.lengths, self.lengths - horizon + 1).clip(1)
        everything = np.arange(len(self))
        if own is None:
            episode = self._draw(everything, starts, shape, random, share)
        else:
            pools = [np.flatnonzero(row[: len(self)]) for row in own]
            drawn = [
                self._draw(pool if len(pool) else everything, starts, shape[1:], random, share)
                for pool in pools
            ]
            episode = np.stack(drawn)
        start = random.integers(0, starts[episode])
        return self._windows(episode, start, horizon, see, random)

    def _windows(
        self,
        episode: Int[np.ndarray, "*shape"],
        start: Int[np.ndarray, "*shape"],
        horizon: int,
        see: bool,
        random: np.random.Generator,
    ) -> Windows:
        steps, rows = self._following(episode, start, horizon)
        length = self.lengths[episode][..., None]
        observed = np.diff(self.offsets)[episode][..., None]
        now, after = steps[..., :-1], steps[..., 1:]
        ended = (now == length - 1) & self.terminated[episode][..., None]
        row, taken = torch.from_numpy(rows), torch.from_numpy(rows[..., :-1])
        first = row[..., 0]
        return Windows(
            self.seen(first, random) if see else self.features.new_zeros(*episode.shape, 0),
            self.states[row],
            self.actions[taken],
            self.rewards[taken],
            first,
            self.proprio[first],
            self.expert_actions[taken],
            acted=torch.from_numpy(now < length),
            followed=torch.from_numpy((after < observed) & ~ended),
            ended=torch.from_numpy(ended),
        )

    def _following(
        self, episode: Int[np.ndarray, "*shape"], start: Int[np.ndarray, "*shape"], horizon: int
    ) -> tuple[Int[np.ndarray, "*shape H+1"], Int[np.ndarray, "*shape H+1"]]:
        """Steps of an episode from one on, and their rows; its last stands for what is beyond."""
        steps = start[..., None] + np.arange(horizon + 1)
        last = np.diff(self.offsets)[episode][..., None] - 1
        return steps, self.offsets[episode][..., None] + np.minimum(steps, last)

    def _draw(
        self,
        pool: Int[np.ndarray, " n"],
        starts: Int[np.ndarray, " episodes"],
        shape: tuple[int, ...],
        random: np.random.Generator,
        share: float,
    ) -> Int[np.ndarray, "*shape"]:
        """Episodes of a pool, at least a share of them with an expert's answers, if it has any."""
        episode = _by_weight(pool, starts, shape, random)
        known = pool[self.asked[pool]]
        if not share or not len(known):
            return episode
        swap = random.random(shape) < share
        return np.where(swap, _by_weight(known, starts, shape, random), episode)


def _by_weight(
    pool: Int[np.ndarray, " n"],
    weights: Int[np.ndarray, " episodes"],
    shape: Sequence[int],
    random: np.random.Generator,
) -> Int[np.ndarray, "*shape"]:
    """Members of a pool as often as they have windows; alike where they have equally many."""
    counts = weights[pool]
    if (counts == counts[0]).all():
        return pool[random.integers(0, len(pool), tuple(shape))]
    ends = np.cumsum(counts)
    return pool[np.searchsorted(ends, random.integers(0, ends[-1], tuple(shape)), side="right")]


@torch.no_grad()
def latents(model: WorldModel, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch Z"]:
    """Latent states of stacked features, on the CPU, a block at a time."""
    device = next(model.parameters()).device
    flat = features.reshape(-1, features.shape[-1])
    found = [model.encode(block.float().to(device)).cpu() for block in flat.split(BLOCK)]
    return torch.cat(found).view(*features.shape[:-1], -1)
