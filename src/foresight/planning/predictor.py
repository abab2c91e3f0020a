"""Planning with a frame-causal predictor: futures of all tokens, judged by those of a goal."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.perception.ac_cache import FrameCache
from foresight.perception.encoder import default_dtype
from foresight.planning.lewm import BlockDynamics
from foresight.worldmodel.actions import action_bounds, scaled
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor

CHUNK = 32
"""Candidates that are imagined at once: their keys and values have to fit a processor's caches."""


class PredictorDynamics(BlockDynamics):
    """A predictor's rollouts, each frame computed once; the past is shared by all candidates.

    An embedding is ``[N * D + S]``: the tokens of a frame and the robot's state, which is known of
    frames that were seen alone. Futures are tokens, ``[N * D]``.

    Args:
        trained: the predictor, of a robot whose actions have bounds.
        dtype: of the products; the device's fastest if not given.

    Raises:
        ForesightError: an action without bounds.
    """

    def __init__(self, trained: TrainedPredictor, dtype: torch.dtype | None = None) -> None:
        config, network = trained.config, trained.network
        assert config.spec is not None
        device = network.head.weight.device
        super().__init__(config.robot.every, len(config.spec.action), device)
        self.action_low, self.action_high = action_bounds(config.spec)
        self.network, self.robot = network, config.robot
        self.dtype = dtype or default_dtype(device)

    @torch.inference_mode()
    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "1 B S H1 Y"]:
        """Tokens now and after every block."""
        half = self.dtype == torch.bfloat16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            told = self._told(actions.unflatten(2, (-1, self.every)).flatten(3))
            past = self._past(told.shape[2])
            parts = [self._rollout(z0, part, past) for part in told.split(CHUNK, dim=1)]
        ahead = torch.cat(parts, dim=1)
        first = z0[:, None, None, : ahead.shape[-1]].expand(-1, ahead.shape[1], 1, -1)
        return torch.cat([first.to(ahead), ahead], dim=2)[None]

    def _past(self, horizon: int) -> FrameCache | None:
        """Keys and values of the frames before the present one, with room for a future."""
        seen, done = self._seen, self._done
        if seen is None or done is None or seen.shape[1] < 2:
            return None
        tokens, states = self._parts(seen[:, :-1])
        cache = self.network.new_cache(len(seen), tokens.shape[1] + horizon)
        self.network(tokens, self._told(done), states, cache=cache)
        return cache

    def _rollout(
        self, z0: Tensor, told: Float[Tensor, "B S H W"], past: FrameCache | None
    ) -> Float[Tensor, "B S H Y"]:
        scenes, copies, horizon, _ = told.shape
        tokens, states = self._parts(z0[:, None].repeat_interleave(copies, 0))
        cache = None if past is None else past.fork(copies, horizon)
        found = self.network.rollout(tokens, told.flatten(0, 1), states, cache=cache)
        return found.flatten(2).view(scenes, copies, horizon, -1)

    def _told(self, blocks: Float[Tensor, "*b W"]) -> Float[Tensor, "*b A"]:
        """Blocks of actions in [-1, 1] as the predictor is told them: their mean, standardised."""
        taken = scaled(blocks.unflatten(-1, (self.every, self.actions)), self).mean(-2)
        return self.robot.standardised(taken)

    def _parts(self, seen: Float[Tensor, "B P D"]) -> tuple[Tensor, Tensor | None]:
        """Tokens ``[B, P, N, D]``, and states where the predictor is told of them."""
        sizes = self.network.sizes
        count = sizes.patches * sizes.dim
        tokens = seen[..., :count].unflatten(-1, (sizes.patches, sizes.dim))
        return tokens, seen[..., count : count + sizes.states] if sizes.states else None
