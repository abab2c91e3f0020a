"""The policies of the study: right ones, and what differs from one of them by one mistake.

The nine mistakes of the source documents' policy head, in the order of the page:

1. ``late``: a sample asks for 66 steps ahead, 16 of pictures and 50 of actions, so the last 50
   steps of a demonstration are never a present. Right: what is beyond the end is masked.
2. ``noise``: noise of standard deviation .05 on each of 1,408 channels of tokens of norm 1, a norm
   of 1.9. Right: a norm of .05.
3. ``euler``: the hand's orientation is learned as axis times angle and felt as Euler angles.
4. ``no-states``: episodes begin where a reset puts things, not at the benchmark's states.
5. ``no-settling``: episodes begin while things still fall.
6. ``upsampled``: pictures of half the size, blown up, in training; sharp ones in the trial.
7. ``unnormalised``: state and actions are learned in the robot's units.
8. ``time-mean``: tokens of a clip are averaged over its time. Right: its last moment.
9. ``own-goal``: a demonstration is learned with its own last picture as the goal, and the trial
   shows another one's. Right: another one's in training, too.

Orientations, the benchmark's states and things that fall are in LIBERO only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from foresight.core.errors import ForesightError
from foresight.envs.factories import LIBERO
from foresight.perception.config import EncoderConfig
from foresight.policies.chunk.config import Preset
from foresight.policies.chunk.policy import ChunkFactory
from foresight.rollout.vector import Start
from foresight.training.chunk.demonstrations import Demonstrations
from foresight.training.chunk.train import (
    FULL_AUGMENTATION,
    ChunkTraining,
    Prepare,
    prepare_network,
)
from studies.mistakes.acting import EulerFactory, Unplaced, Unsettled
from studies.mistakes.learning import OwnGoals, without_statistics
from studies.mistakes.seeing import CoarseEyes, TimeMeanEyes, TimeMeanFactory

RIGHT = "right"
HEAD: Preset = "source-head"
SCALED = FULL_AUGMENTATION.noise
"""Norm of noise on tokens of norm 1, as it was meant."""
UNSCALED = SCALED * 1408**0.5
"""The norm that this number has where it is the deviation of each of 1,408 channels."""


def _unchanged(training: ChunkTraining) -> ChunkTraining:
    return training


def _same_data(data: Demonstrations) -> Demonstrations:
    return data


@dataclass(frozen=True)
class Variant:
    """One policy of the comparison. What is not named is as in the right one."""

    name: str
    instead_of: str | None = None
    """The policy without the mistake; None for one that makes none."""
    acts: str | None = None
    """Whose weights act, where the mistake is in the trial alone."""
    change: Callable[[ChunkTraining], ChunkTraining] = _unchanged
    clip: bool = False
    """Whether it sees clips in place of stills."""
    eyes: type[EncoderConfig] = EncoderConfig
    """Those of training."""
    shown: Callable[[Demonstrations], Demonstrations] = _same_data
    prepare: Prepare = prepare_network
    factory: type[ChunkFactory] = ChunkFactory
    start: Start | None = None
    """Begins a trial's episodes, if not the environment."""
    only: str = ""
    """The namespace whose tasks alone can show it."""


def _told(name: str, goal: bool) -> Variant:
    def change(training: ChunkTraining) -> ChunkTraining:
        return replace(training, network=replace(training.network, goal=goal))

    return Variant(name, change=change)


def _noisy(noise: float) -> Callable[[ChunkTraining], ChunkTraining]:
    def change(training: ChunkTraining) -> ChunkTraining:
        network = replace(training.network, tokens="l2")
        return replace(training, network=network, augment=replace(training.augment, noise=noise))

    return change


def _only_early(training: ChunkTraining) -> ChunkTraining:
    return replace(training, augment=replace(training.augment, drop_late=True))


_SHOWN = _told("goal", goal=True)
VARIANTS = {
    each.name: each
    for each in (
        Variant(RIGHT),
        Variant("late", RIGHT, change=_only_early),
        Variant("unit-norm", change=_noisy(SCALED)),
        Variant("noise", "unit-norm", change=_noisy(UNSCALED)),
        Variant("euler", RIGHT, acts=RIGHT, factory=EulerFactory, only=LIBERO),
        Variant("no-states", RIGHT, acts=RIGHT, start=Unplaced(), only=LIBERO),
        Variant("no-settling", RIGHT, acts=RIGHT, start=Unsettled(), only=LIBERO),
        Variant("upsampled", RIGHT, eyes=CoarseEyes),
        Variant("unnormalised", RIGHT, prepare=without_statistics),
        Variant("clip", clip=True),
        Variant("time-mean", "clip", clip=True, eyes=TimeMeanEyes, factory=TimeMeanFactory),
        _SHOWN,
        replace(_SHOWN, name="own-goal", instead_of="goal", shown=OwnGoals.of),
        Variant(HEAD, clip=True),
    )
}
"""By name; a mistake stands behind the policy that does not make it."""
MISTAKES = tuple(name for name, each in VARIANTS.items() if each.instead_of is not None)


def chosen(names: tuple[str, ...], tasks: tuple[str, ...]) -> list[Variant]:
    """The policies of some names that these tasks can show, with those that they are compared to.

    Raises:
        ForesightError: an unknown name.
    """
    for name in names:
        if name not in VARIANTS:
            raise ForesightError(
                f"The study of mistakes has no policy {name!r}: choose among {', '.join(VARIANTS)}."
            )
    wanted = {*names, *(VARIANTS[name].instead_of or name for name in names)}
    return [
        each
        for each in VARIANTS.values()
        if each.name in wanted and all(task.startswith(each.only) for task in tasks)
    ]
