"""The linear model that a learned one has to be above: ridge regression, one for each horizon.

What is seen (the last frames along their principal axes, the robot's state, past actions) and what
will be done (the actions up to the horizon) go in together; the frame at the horizon comes out at
once, so that nothing is fed back. First every number keeps a share of its own of its present value,
by least squares, inside and outside of the principal axes; the ridge regression explains what is
left along the axes. So a strong penalty, on little data, leads to a damped persistence, and what
lies outside of the axes does not lose to persistence by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.progress import track as progress
from foresight.diagnostics.drift import Track

PENALTIES = tuple(10.0**power for power in range(-6, 5))
"""Candidates, in units of the mean square of what goes in."""
VALIDATION = 5
"""Every so many-th training episode chooses the penalty; the axes are fitted on the others."""


@dataclass(frozen=True)
class LinearConfig:
    """Size of the linear model."""

    components: int = 256
    """Principal axes."""
    past: int = 4
    """Frames that it sees, the present one included."""
    sample: int = 2048
    """Frames from which the axes are estimated."""


@dataclass
class _Sums:
    """Second moments of what goes in and out, for fitting and for choosing the penalty."""

    gram: list[Tensor]
    cross: list[Tensor]


class LinearModel:
    """Ridge regressions to each horizon, with and without the actions from the present on.

    Attributes:
        mean: ``[N, D]``, over the training frames.
        axes: ``[N * D, K]``, principal axes of the training frames around it.
        horizons: steps ahead.
        actions: numbers of an action.
        weights: (horizon, with actions) to ``[inputs, K]``.
        keep: horizon to ``[N * D]``, what stays of the present outside of the axes.
        penalty: (horizon, with actions) to the penalty that was chosen.
    """

    def __init__(self, config: LinearConfig, horizons: Sequence[int], actions: int) -> None:
        self.config = config
        self.horizons = sorted(set(horizons))
        self.actions = actions
        self.mean, self.axes, self.scale = torch.zeros(0), torch.zeros(0), 1.0
        self.weights: dict[tuple[int, bool], Tensor] = {}
        self.keep: dict[int, Tensor] = {}
        self.penalty: dict[tuple[int, bool], float] = {}

    @classmethod
    def fit(
        cls,
        tracks: Sequence[Track],
        horizons: Sequence[int],
        actions: int,
        config: LinearConfig | None = None,
    ) -> LinearModel:
        """Fit on training episodes, which are read twice, one at a time.

        Args:
            tracks: training episodes; the first numbers of their controls are actions, the rest is
                the robot's state.
            horizons: steps ahead.
            actions: numbers of an action (A).
            config: sizes.

        Raises:
            ForesightError: fewer than two episodes, or none that is longer than a horizon.
        """
        model = cls(config or LinearConfig(), horizons, actions)
        longest = max((len(one.controls) for one in tracks), default=0)
        if len(tracks) < 2 or longest <= model.horizons[-1]:
            raise ForesightError(
                f"A linear model of {model.horizons[-1]} steps cannot be fitted on {len(tracks)} "
                f"episodes of at most {longest} steps: give two or more, longer than the horizon."
            )
        model._fit_axes(tracks)
        model._fit_weights(tracks)
        return model

    def predict(
        self,
        one: Track,
        starts: Int64[Tensor, " b"],
        horizon: int,
        actions: Float[Tensor, "b l a"] | None,
    ) -> Float[Tensor, "b n d"]:
        """The frames ``horizon`` steps after ``starts``.

        Args:
            one: an episode, of which frames and past actions up to the starts are used.
            starts: the present steps.
            horizon: one of ``horizons``.
            actions: what will be done from the present on, of which the first ``horizon`` are used;
                None: the model that is not told.
        """
        back = (starts[:, None] - torch.arange(self.config.past)).clamp(min=0)
        flat = one.target.flatten(1).cpu() - self.mean.flatten()
        z, controls = self._along(flat), one.controls.cpu()
        future = None if actions is None else actions[:, :horizon].cpu()
        inputs = self._inputs(z, controls, starts, back, future)
        guess = inputs @ self.weights[horizon, actions is not None] * self.scale
        now = flat[starts]
        rest = now - (z[starts] * self.scale) @ self.axes.T
        found = guess @ self.axes.T + self.keep[horizon] * rest
        return found.unflatten(1, tuple(self.mean.shape)) + self.mean

    def ceiling(self, truth: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """What the principal axes keep of true frames: no model along them can be nearer."""
        flat = truth.flatten(-2) - self.mean.flatten()
        return ((flat @ self.axes) @ self.axes.T).unflatten(-1, tuple(self.mean.shape)) + self.mean

    def _fit_axes(self, tracks: Sequence[Track]) -> None:
        total, steps = torch.zeros(()), 0
        each = max(1, self.config.sample // len(tracks))
        sample = []
        for index, one in enumerate(tracks):
            truth = one.target.cpu()
            total = total + truth.double().sum(0)
            steps += len(truth)
            if _judges(index, len(tracks)):
                continue
            sample.append(truth[torch.linspace(0, len(truth) - 1, min(each, len(truth))).long()])
        self.mean = (total / steps).float()
        flat = torch.cat(sample).flatten(1) - self.mean.flatten()
        count = min(self.config.components, max(1, len(flat) // 8), flat.shape[1])
        # The axes by way of the smaller of the two second moments.
        values, vectors = torch.linalg.eigh((flat @ flat.T).double())
        values, vectors = values[-count:].flip(0), vectors[:, -count:].flip(1)
        good = values > values[0] * 1e-9
        axes = flat.T.double() @ (vectors[:, good] * values[good].rsqrt())
        self.axes = axes.float()
        self.scale = float(values.sum().div(len(flat)).sqrt().clamp(min=1e-9))

    def _along(self, flat: Tensor) -> Float[Tensor, "t k"]:
        return flat @ self.axes / self.scale

    def _inputs(
        self,
        z: Tensor,
        controls: Tensor,
        starts: Tensor,
        back: Float[Tensor, "b p"],
        future: Tensor | None,
    ) -> Float[Tensor, "b i"]:
        """A one, frames, state, past actions; what will be done last, so that it can be cut off."""
        parts = [
            z.new_ones(len(starts), 1),
            z[back].flatten(1),
            controls[starts, self.actions :],
            controls[back[:, 1:], : self.actions].flatten(1),
        ]
        return torch.cat(parts if future is None else [*parts, future.flatten(1)], dim=1)

    def _fit_weights(self, tracks: Sequence[Track]) -> None:
        sums: dict[int, _Sums] = {}
        kept = {h: [torch.zeros(()), torch.zeros(())] for h in self.horizons}
        inside = {h: [torch.zeros(()), torch.zeros(())] for h in self.horizons}
        told = 0
        for index, one in enumerate(progress(tracks, "linear")):
            flat = one.target.flatten(1).cpu() - self.mean.flatten()
            z, controls = self._along(flat), one.controls.cpu()
            rest = flat - (z * self.scale) @ self.axes.T
            part = int(_judges(index, len(tracks)))
            for h in self.horizons:
                starts = torch.arange(len(flat) - h)
                if not len(starts):
                    continue
                # What lies outside of axes is less on those episodes that the axes were fitted on.
                for sum_of, value in ((kept[h], rest * part), (inside[h], z)):
                    sum_of[0] = sum_of[0] + (value[h:] * value[:-h]).sum(0)
                    sum_of[1] = sum_of[1] + value[:-h].square().sum(0)
                back = (starts[:, None] - torch.arange(self.config.past)).clamp(min=0)
                future = controls[starts[:, None] + torch.arange(h), : self.actions]
                inputs = self._inputs(z, controls, starts, back, future)
                told = inputs.shape[1] - h * self.actions
                if h not in sums:
                    size, kind = inputs.shape[1], torch.float64
                    sums[h] = _Sums(
                        [torch.zeros(size, size, dtype=kind) for _ in range(2)],
                        [torch.zeros(size, z.shape[1], dtype=kind) for _ in range(2)],
                    )
                sums[h].gram[part] = sums[h].gram[part] + (inputs.T @ inputs).double()
                sums[h].cross[part] = sums[h].cross[part] + (inputs.T @ z[h:]).double()
        for h, found in sums.items():
            self.keep[h] = kept[h][0] / kept[h][1].clamp(min=1e-12)
            share = inside[h][0] / inside[h][1].clamp(min=1e-12)
            now = slice(1, 1 + len(share))  # the present among what goes in
            # What is left to explain: the moments of z' - share * z.
            left = [
                cross - gram[:, now] * share
                for gram, cross in zip(found.gram, found.cross, strict=True)
            ]
            for with_actions in (True, False):
                cut = None if with_actions else told
                weights, penalty = _ridge(
                    [gram[:cut, :cut] for gram in found.gram], [c[:cut] for c in left]
                )
                weights[now] += share.diag()
                self.weights[h, with_actions], self.penalty[h, with_actions] = weights, penalty


def _judges(index: int, count: int) -> bool:
    """Whether a training episode chooses the penalty, and tells what lies outside of the axes."""
    return index % min(VALIDATION, count) == 0


def _ridge(grams: Sequence[Tensor], crosses: Sequence[Tensor]) -> tuple[Tensor, float]:
    """Weights on all of the data, with the penalty that the second part's error is lowest for.

    ``(G + p * mean(diag G) * I) W = C``.
    """
    values, vectors = torch.linalg.eigh(grams[0])
    size, turned = grams[0].diagonal().mean().clamp(min=1e-12), vectors.T @ crosses[0]
    best, least = PENALTIES[0], float("inf")
    for penalty in PENALTIES:
        weights = vectors @ (turned / (values.clamp(min=0) + penalty * size)[:, None])
        error = float((weights * (grams[1] @ weights - 2 * crosses[1])).sum())
        if error < least:
            best, least = penalty, error
    gram, cross = grams[0] + grams[1], crosses[0] + crosses[1]
    ridge = best * gram.diagonal().mean().clamp(min=1e-12)
    eye = torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + ridge * eye, cross).float(), best
