"""Frame-causal predictors as forecasters, and cached episodes as tracks for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foresight.diagnostics.drift import Track
from foresight.perception.ac_data import ACEpisodes
from foresight.worldmodel.predictor.config import PAST, PredictorSizes
from foresight.worldmodel.predictor.network import FramePredictor


class PredictorForecaster:
    """A frame-causal predictor that is shown the last frames, their actions and states.

    An input is ``[P, N * D + A + S]``: the tokens of the last P frames, what was done at each (not
    yet known at the present one, and not looked at) and the robot's state at each. Controls are
    actions, then states, which a forecast does not look at: they are not known beforehand.

    Args:
        network: the predictor; moved nowhere.
    """

    def __init__(self, network: FramePredictor) -> None:
        self.network = network

    @property
    def limit(self) -> int | None:
        """Of one with learned positions, what is left after the frames that are shown."""
        limit = self.network.sizes.limit
        return None if limit is None else limit - PAST + 1

    def open_loop(
        self, start: Float[Tensor, "B P W"], controls: Float[Tensor, "B L C"]
    ) -> Float[Tensor, "B L N D"]:
        """Imagine from the frames that were seen."""
        sizes, device = self.network.sizes, self.network.head.weight.device
        tokens, done, states = self._parts(start.to(device))
        future = controls[..., : sizes.actions].to(device)
        actions = torch.cat([done[:, :-1], future], dim=1)
        found = self.network.rollout(tokens, actions, states if sizes.states else None)
        return found.to(start.device)

    def closed_loop(
        self, seen: Float[Tensor, "B L P W"], controls: Float[Tensor, "B L C"]
    ) -> Float[Tensor, "B L N D"]:
        """One step from the true frames up to each of L steps."""
        found = self.open_loop(seen.flatten(0, 1), controls.flatten(0, 1)[:, None])
        return found[:, 0].unflatten(0, seen.shape[:2])

    def _parts(self, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes = self.network.sizes
        widths = (sizes.patches * sizes.dim, sizes.actions, start.shape[-1])
        tokens, actions = start[..., : widths[0]], start[..., widths[0] : widths[0] + widths[1]]
        states = start[..., widths[0] + widths[1] :][..., : sizes.states]
        return tokens.unflatten(2, (sizes.patches, sizes.dim)), actions, states


class PredictorTracks(Sequence[Track]):
    """Episodes of a dataset's cached tokens; each is read when it is asked for.

    Before an episode's first frame stands that frame again, as if the robot had waited.

    Args:
        data: the cache, actions and states.
        episodes: which of them.
        sizes: of the predictor.
        states: numbers of the state that a linear model is told, also where the predictor is not.
    """

    def __init__(
        self, data: ACEpisodes, episodes: Sequence[int], sizes: PredictorSizes, states: int
    ) -> None:
        self.data, self.episodes, self.sizes, self.states = data, list(episodes), sizes, states

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: int) -> Track:  # type: ignore[override]
        """The track of one episode."""
        episode = self.episodes[index]
        first, end = self.data.cache.offsets[episode : episode + 2].tolist()
        flat = torch.from_numpy(self.data.cache.episode(episode).astype("float32"))
        actions = self.data.actions[first:end, : self.sizes.actions]
        states = self.data.states[first:end, : self.states]
        told = torch.cat([flat, actions, states], dim=1)
        waited = functional.pad(told.T[None], (PAST - 1, 0), mode="replicate")[0].T.contiguous()
        inputs = waited.as_strided(
            (len(told), PAST, told.shape[1]), (told.shape[1], told.shape[1], 1)
        )
        features = flat.unflatten(1, (self.sizes.patches, self.sizes.dim))
        return Track(inputs, features, torch.cat([actions, states], dim=1))
