"""World models as forecasters, and clips or episodes as tracks for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.diagnostics.drift import Track
from foresight.perception.ac import ACModel
from foresight.perception.ac_data import held_states
from foresight.perception.ac_predictor import normalise
from foresight.perception.pose import WIDTH, pose_difference
from foresight.worldmodel.dynamics.rollout import context_of, mean_rollout, mean_step
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.state import LinearState


class WorldModelForecaster:
    """A trained world model; what it predicts is led back to features and compared there.

    An ensemble counts as the mean of its members. A model with a history is given the present
    alone, so its context is the longest horizon.
    """

    def __init__(self, model: WorldModel) -> None:
        self.model = model

    @property
    def limit(self) -> int | None:
        """The context of a model with a history."""
        return context_of(self.model.dynamics)

    def open_loop(
        self, start: Float[Tensor, "B Z"], controls: Float[Tensor, "B L A"]
    ) -> Float[Tensor, "B L 1 F"]:
        """Imagine from one latent state."""
        imagined = mean_rollout(self.model.dynamics, start, controls)
        return self._shown(imagined[:, 1:])

    def closed_loop(
        self, seen: Float[Tensor, "B L Z"], controls: Float[Tensor, "B L A"]
    ) -> Float[Tensor, "B L 1 F"]:
        """One step from each latent state."""
        return self._shown(mean_step(self.model.dynamics, seen, controls))

    def track(
        self,
        features: Sequence[np.ndarray],
        actions: Float[np.ndarray, "T A"],
        proprio: Float[np.ndarray, "T P"] | None = None,
    ) -> Track:
        """A track of one episode.

        What the latent state does not keep (``pca``) is taken out of the true features too.

        Args:
            features: of each camera, ``[T, F]``.
            actions: in the environment's units.
            proprio: the robot's own numbers, where the state joins them.

        Raises:
            ForesightError: another number of cameras, features or actions than the model's.
        """
        config, steps = self.model.config, len(actions)
        if len(features) != len(config.cameras):
            raise ForesightError(
                f"Features of {len(features)} cameras do not fit this world model, which sees "
                f"{len(config.cameras)}: give what it was trained on."
            )
        if actions.shape != (len(features[0]), config.actions):
            raise ForesightError(
                f"Actions of shape {list(actions.shape)} do not fit {len(features[0])} steps of "
                f"this world model, which takes {config.actions} numbers each: give the task it "
                "was trained on."
            )
        with torch.no_grad():
            tokens = [
                torch.as_tensor(np.array(seen)).float().reshape(steps, camera.patches, camera.dim)
                for seen, camera in zip(features, config.cameras, strict=True)
            ]
            own = None if proprio is None else torch.as_tensor(np.array(proprio)).float()
            compressed = self.model.state.compress(tokens)
            z = self.model.state.episode(self.model.state.join(compressed, own))
            shown = self._shown(z)
            controls = self.model.normalised(torch.as_tensor(np.array(actions)).float())
        narrow = isinstance(self.model.state, LinearState) and config.state.kind == "pca"
        return Track(z, shown, controls, compressed[:, None] if narrow else None)

    def _shown(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch 1 D"]:
        """What is compared: the newest features of a linear state, a learned state itself."""
        state = self.model.state
        return (state.present(z) if isinstance(state, LinearState) else z)[..., None, :]


class ACForecaster:
    """V-JEPA 2-AC; controls are action and state, W numbers each: 7 of the published model.

    Args:
        model: encoder and predictor.
        held: the states told to the predictor are those of the first frame throughout, as for a
            robot whose states do not follow from its actions.
    """

    def __init__(self, model: ACModel, held: bool = False) -> None:
        self.model = model
        self.held = held

    @property
    def limit(self) -> int:
        """A horizon of h steps needs h frames."""
        return self.model.predictor.config.max_frames

    def open_loop(
        self, start: Float[Tensor, "B N D"], controls: Float[Tensor, "B L 2W"]
    ) -> Float[Tensor, "B L N D"]:
        """Autoregressive from one frame; later poses follow from the actions."""
        actions, states = controls.chunk(2, dim=-1)
        told = held_states(states) if self.held else states[:, :1]
        out = self.model.predictor.rollout(start, actions, told)
        return out.unflatten(1, (-1, start.shape[1]))

    def closed_loop(
        self, seen: Float[Tensor, "B L N D"], controls: Float[Tensor, "B L 2W"]
    ) -> Float[Tensor, "B L N D"]:
        """Teacher forcing: every prediction from the true frames up to it."""
        actions, states = controls.chunk(2, dim=-1)
        told = held_states(states) if self.held else states
        out = self.model.predictor(seen.flatten(1, 2), actions, told)
        return normalise(out).view(seen.shape)

    def track(self, frames: UInt8[np.ndarray, "T H W 3"], poses: np.ndarray | None = None) -> Track:
        """A track of one clip.

        Args:
            frames: uint8 RGB at the encoder's size.
            poses: ``[T, 7]``; actions are their differences. None: constant zero pose and zero
                actions.

        Raises:
            ForesightError: frames or poses do not fit.
        """
        tokens = self.model.represent(frames[None])[0].view(len(frames), -1, self.model.encoder.dim)
        path = torch.zeros(len(frames), WIDTH)
        if poses is not None:
            if poses.shape != (len(frames), WIDTH) or not np.isfinite(poses).all():
                raise ForesightError(
                    f"Poses of shape {list(poses.shape)} do not fit the clip: expected "
                    f"[{len(frames)}, {WIDTH}] finite numbers, one pose for each frame."
                )
            path = torch.as_tensor(poses).float()
        following = torch.cat([path[1:], path[-1:]])  # nothing is known after the last frame
        controls = torch.cat([pose_difference(path, following), path], dim=1)
        return Track(tokens, tokens, controls.to(tokens.device))
