"""Does a model know what actions do? Asked of recorded episodes, before any robot moves.

A planner lives on differences between actions. A model can imagine well and still ignore them: most
of what will be seen follows from what is seen. So it imagines the same beginnings under other
actions than those that were taken, and is asked three things at each horizon:

- *skill*, the share of persistence's error that it removes, beside its skill under another
  episode's actions: where the two are alike, actions tell it nothing;
- the *rank of the demonstrated actions* among sampled ones, by the distance of what they lead to
  from what was truly seen: 0 is best, .5 is chance. A planner that is shown the true future as its
  goal would choose the actions of rank 0;
- for every number of an action its *sensitivity*, how far the prediction moves when that number
  alone is exchanged for another episode's, and its *importance*, by how much the error grows then
  (permutation importance: Breiman, Random Forests, 2001, section 10).

Distances are mean absolute differences, the energy of V-JEPA 2-AC's planner (arXiv 2506.09985,
section 3.2). Everything is a mean over one episode's beginnings, so that intervals resample
episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.progress import track as progress
from foresight.diagnostics.drift import HORIZONS, Forecaster, Track, window_starts
from foresight.evaluation.statistics import Row

DRAWN, OTHERS, SHUFFLED = "drawn", "others", "shuffled-actions"
SWAPS = 4
"""Sequences of other episodes that actions are exchanged for, at each beginning."""
TIE = 1e-6
"""Relative difference of distances below which they are alike: rounding, of a deaf model."""
STILL = 1e-9
"""Mean change of a feature below which nothing has moved and there is no skill to measure."""


@dataclass(frozen=True)
class Recorded:
    """What was done in one episode."""

    actions: Float[Tensor, "T A"]
    """As the forecaster is told of them."""
    task: str = ""
    """Its text."""


@dataclass(frozen=True)
class ActionPlan:
    """How much is asked."""

    horizons: Sequence[int] = HORIZONS
    """Steps ahead; those that do not fit are left out."""
    starts: int = 16
    """Beginnings per episode, evenly spread."""
    samples: int = 32
    """Sequences of each kind among which the demonstrated one is ranked."""
    batch: int = 256
    """Sequences that are imagined at once."""


@torch.no_grad()
def action_rows(
    forecaster: Forecaster,
    tracks: Sequence[Track],
    episodes: Sequence[int],
    recorded: Sequence[Recorded],
    names: Sequence[str],
    plan: ActionPlan | None = None,
) -> list[Row]:
    """Measure what a model knows of actions.

    Args:
        forecaster: the model.
        tracks: held-out episodes; the first ``len(names)`` numbers of their controls are actions.
        episodes: the tracks' places in ``recorded``.
        recorded: the actions of all episodes there are, also of those learned from: other actions
            come from other episodes, or from the same one where it is the only one.
        names: of the numbers of an action.
        plan: how much is asked.

    Returns:
        Rows for each track, the task ``h<horizon>``: ``skill`` (condition none, and
        ``shuffled-actions``: under SWAPS windows of other episodes); ``action-rank``,
        ``action-top1`` (1 where none is nearer) and ``action-top1-chance``, among ``drawn``
        sequences, each step's action drawn from all other episodes' with equal probability, and
        among those of ``others``, what episodes of the same task did at the same time; and, with a
        number's name as the condition, ``sensitivity``, in units of how far the truth has moved by
        then, and ``importance``, relative to the error under the true actions. What was equally
        near counts half in a rank. Without other episodes of the task there are no ``others``.

    Raises:
        ForesightError: fewer than one sample, or no track that fits a horizon.
    """
    plan = plan or ActionPlan()
    if plan.samples < 1 or plan.starts < 1 or min(plan.horizons, default=0) < 1:
        raise ForesightError(
            f"The actions cannot be ranked among {plan.samples} from {plan.starts} starts at the "
            f"horizons {list(plan.horizons)}: give at least 1 of each."
        )
    rows: list[Row] = []
    pairs = list(zip(tracks, episodes, strict=True))
    for index, (one, episode) in enumerate(progress(pairs, "actions")):
        longest = min(len(one.features) - 1, forecaster.limit or len(one.features))
        fitting = [h for h in sorted(set(plan.horizons)) if h <= longest]
        if fitting:
            draw = OtherActions(recorded, episode, fitting[-1], plan.samples)
            found = _episode(forecaster, one, draw, names, fitting, plan)
            rows += [{**row, "episode": index} for row in found]
    if not rows:
        raise ForesightError(
            f"No episode is long enough for the horizons {list(plan.horizons)}: ask for shorter "
            "ones."
        )
    return rows


class OtherActions:
    """Other actions than those of one episode."""

    def __init__(
        self, recorded: Sequence[Recorded], episode: int, length: int, samples: int
    ) -> None:
        self.length, self.samples = length, samples
        others = [one for index, one in enumerate(recorded) if index != episode]
        long = [one.actions for one in others if len(one.actions) >= length]
        task = recorded[episode].task
        self.same_task = [
            one.actions for one in others if one.task == task and len(one.actions) >= length
        ]
        self.long = long or [recorded[episode].actions]
        self.all = torch.cat([one.actions for one in others or [recorded[episode]]])
        self.random = np.random.default_rng([episode, length])

    def drawn(self) -> Float[Tensor, "S L A"]:
        """Steps drawn one by one from everything that was done."""
        picked = self.random.integers(0, len(self.all), (self.samples, self.length))
        return self.all[torch.from_numpy(picked)]

    def others(self, start: int) -> Float[Tensor, "S L A"]:
        """What other episodes of the task did at this time, or before their end."""
        most = min(self.samples, len(self.same_task))
        picked = self.random.permutation(len(self.same_task))[:most]
        found = [self._window(self.same_task[i], start) for i in picked]
        return (
            torch.stack(found) if found else self.all.new_zeros(0, self.length, self.all.shape[1])
        )

    def windows(self) -> Float[Tensor, "W L A"]:
        """Whole stretches of other episodes, from any time."""
        found = []
        for place in self.random.integers(0, len(self.long), SWAPS):
            actions = self.long[place]
            room = len(actions) - self.length + 1
            found.append(self._window(actions, int(self.random.integers(room))))
        return torch.stack(found)

    def _window(self, actions: Tensor, start: int) -> Tensor:
        first = min(start, len(actions) - self.length)
        return actions[first : first + self.length]


def _episode(
    forecaster: Forecaster,
    one: Track,
    draw: OtherActions,
    names: Sequence[str],
    horizons: list[int],
    plan: ActionPlan,
) -> list[Row]:
    """Means over the beginnings in one episode."""
    width, length = len(names), horizons[-1]
    sums = _Sums(horizons)
    for start in window_starts(len(one.features), length, plan.starts).tolist():
        shown = one.controls[start : start + length, :width]
        drawn, others = draw.drawn().to(shown), draw.others(start).to(shown)
        windows = draw.windows().to(shown)
        # One exchanged number at a time: [A, W, L, A].
        alone = torch.eye(width, dtype=torch.bool, device=shown.device)[:, None, None]
        swapped = torch.where(alone, windows, shown)
        every = torch.cat([shown[None], drawn, others, windows, swapped.flatten(0, 1)])
        off, moved = _distances(forecaster, one, start, every, horizons, plan.batch)
        sizes = [1, len(drawn), len(others), len(windows), width * len(windows)]
        mine, among, same, exchanged, each = off.split(sizes)
        truth = one.features[start + torch.tensor(horizons)]
        sums.add("persistence", (one.features[start] - truth).abs().mean((-2, -1)))
        sums.add("error", mine[0])
        sums.add(SHUFFLED, exchanged.mean(0))
        for condition, distances in ((DRAWN, among), (OTHERS, same)):
            if len(distances):
                for measure, value in _ranked(mine, distances).items():
                    sums.add(f"{measure}:{condition}", value)
        sums.add("swapped", each.unflatten(0, (width, -1)).mean(1))
        sums.add("moved", moved[-width * len(windows) :].unflatten(0, (width, -1)).mean(1))
    return sums.rows(names)


def _distances(
    forecaster: Forecaster,
    one: Track,
    start: int,
    actions: Float[Tensor, "n L A"],
    horizons: list[int],
    batch: int,
) -> tuple[Float[Tensor, "n H"], Float[Tensor, "n H"]]:
    """From the truth, and from what the first sequence leads to, at each horizon."""
    length, width = actions.shape[1:]
    rest = one.controls[start : start + length, width:]
    picked = torch.tensor(horizons) - 1
    truth = one.features[start + picked + 1]
    off, moved, first = [], [], None
    for part in actions.split(batch):
        told = torch.cat([part, rest.expand(len(part), -1, -1)], dim=-1)
        begin = one.inputs[start].expand(len(part), *one.inputs.shape[1:])
        guess = forecaster.open_loop(begin, told)[:, picked]
        if not guess.isfinite().all():
            raise ForesightError(
                "The model predicted features that are not finite under other actions than those "
                "that were taken: it is damaged or was trained on too few, train it again."
            )
        first = guess[:1] if first is None else first
        off.append((guess - truth).abs().mean((-2, -1)))
        moved.append((guess - first).abs().mean((-2, -1)))
    return torch.cat(off), torch.cat(moved)


def _ranked(mine: Float[Tensor, "1 H"], others: Float[Tensor, "n H"]) -> dict[str, Tensor]:
    """Rank of the first among the others; ties count half, and share the first place."""
    alike = (others - mine).abs() <= TIE * mine
    nearer = ((others < mine) & ~alike).sum(0).double()
    ties = alike.sum(0).double()
    return {
        "action-rank": (nearer + ties / 2) / len(others),
        "action-top1": (nearer == 0) / (1 + ties),
        "action-top1-chance": torch.full_like(ties, 1 / (1 + len(others))),
    }


class _Sums:
    """Numbers at each horizon, added up over the beginnings of an episode."""

    def __init__(self, horizons: list[int]) -> None:
        self.horizons = horizons
        self.total: dict[str, Tensor] = {}
        self.count = 0

    def add(self, name: str, value: Tensor) -> None:
        self.count += name == "error"
        self.total[name] = self.total.get(name, torch.zeros(())) + value.double().cpu()

    def rows(self, names: Sequence[str]) -> list[Row]:
        still, error = self.total["persistence"], self.total["error"].clamp(min=1e-12)
        found: dict[tuple[str, str | None], Tensor] = {
            ("skill", None): 1 - error / still,
            ("skill", SHUFFLED): 1 - self.total[SHUFFLED] / still,
        }
        for key, value in self.total.items():
            ranked, _, among = key.partition(":")
            if among:
                found[ranked, among] = value / self.count
        for place, name in enumerate(names):
            found["sensitivity", name] = self.total["moved"][place] / still
            found["importance", name] = self.total["swapped"][place] / error - 1
        rows: list[Row] = []
        for (measure, condition), values in found.items():
            for place, (horizon, value) in enumerate(
                zip(self.horizons, values.tolist(), strict=True)
            ):
                if measure in ("skill", "sensitivity") and still[place] <= STILL * self.count:
                    continue  # nothing has moved: there is nothing to be compared with
                row: Row = {"measure": measure, "task": f"h{horizon}", "value": value}
                known = {} if condition is None else {"condition": condition.replace("/", ".")}
                rows.append({**row, **known})
        return rows
