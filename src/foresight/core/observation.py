"""What is seen and felt at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec

Picture = UInt8[np.ndarray, "H W 3"]
IMAGE_PREFIX = "observation.images."
STATE_KEY = "observation.state"
NO_STATE = np.zeros(0, np.float32)


class PicturesOnDemand(dict[str, Picture]):
    """Pictures of the present moment, each drawn when it is first looked at.

    Args:
        cameras: their names.
        draw: a camera's picture now.
        present: whether the moment is not over yet.

    Raises:
        ForesightError: by looking, when the moment is over.
    """

    def __init__(
        self, cameras: Sequence[str], draw: Callable[[str], Picture], present: Callable[[], bool]
    ) -> None:
        super().__init__(dict.fromkeys(cameras))  # type: ignore[arg-type]
        self._draw, self._present = draw, present

    def __getitem__(self, camera: str) -> Picture:
        picture = super().__getitem__(camera)
        if picture is None:
            if not self._present():
                raise ForesightError(
                    f"A picture of camera {camera!r} was asked for when its moment was over: look "
                    "before the next step."
                )
            picture = self._draw(camera)
            self[camera] = picture
        return picture

    def get(self, camera: str, default: Any = None) -> Any:
        """The picture, drawn if need be; ``default`` for another name."""
        if camera not in self:
            return default
        return self[camera]

    def values(self) -> Any:
        """All pictures, drawn if need be."""
        return [self[camera] for camera in self]

    def items(self) -> Any:
        """All names and pictures, drawn if need be."""
        return [(camera, self[camera]) for camera in self]


@dataclass(frozen=True)
class Observation:
    """One moment of a robot, real or simulated.

    Attributes:
        images: camera name to upright RGB pictures, uint8 ``[H, W, 3]`` of any sizes.
        state: the robot's own numbers (joints, gripper), float32 ``[P]``; P may be 0.
        task: what is to be done, in words, where somebody says so.
        timestamp: seconds since the episode began.
        executed: what the robot has just done, float32 ``[A]``, where it says so; with a delay
            that is not what it was just asked for.
        age: decisions by which pictures and state are old, where somebody says so.
    """

    images: Mapping[str, UInt8[np.ndarray, "H W 3"]] = field(default_factory=dict)
    state: Float32[np.ndarray, " P"] = field(default_factory=lambda: NO_STATE)
    task: str | None = None
    timestamp: float = 0.0
    executed: Float32[np.ndarray, " A"] | None = None
    age: int | None = None

    @classmethod
    def of(
        cls,
        raw: Mapping[str, Any],
        task: str | None = None,
        timestamp: float = 0.0,
        info: Mapping[str, Any] | None = None,
    ) -> Observation:
        """An environment's dict: ``images`` (name to picture) and ``state``, each optional.

        Of the ``info`` beside it ``executed_action`` and ``observation_age`` are taken.
        """
        images, told = raw.get("images", {}), info or {}
        executed, age = told.get("executed_action"), told.get("observation_age")
        return cls(
            images=images if isinstance(images, PicturesOnDemand) else dict(images),
            state=np.asarray(raw.get("state", NO_STATE), np.float32),
            task=task,
            timestamp=timestamp,
            executed=None if executed is None else np.asarray(executed, np.float32),
            age=None if age is None else int(age),
        )

    def check(self, spec: Spec, whose: str) -> None:
        """Refuse what a spec does not promise.

        Args:
            spec: what is expected.
            whose: for the sentence, for example ``the environment my/robot``.

        Raises:
            ForesightError: a camera is missing or has another size or type; a state, or an executed
                action, of another length; a state that is not finite.
        """
        for name, (height, width) in spec.cameras.items():
            picture = self.images.get(name)
            if picture is None:
                seen = ", ".join(map(repr, self.images)) or "none"
                raise ForesightError(
                    f"{whose} gave no picture of camera {name!r} (it has {seen}): name the cameras "
                    "as the spec does."
                )
            if picture.dtype != np.uint8 or picture.shape != (height, width, 3):
                raise ForesightError(
                    f"{whose} gave a picture of camera {name!r} as {picture.dtype} "
                    f"{list(picture.shape)} where uint8 [{height}, {width}, 3] was expected."
                )
        if self.state.shape != (len(spec.state),):
            raise ForesightError(
                f"{whose} gave a state of shape {list(self.state.shape)} where "
                f"{len(spec.state)} numbers were expected."
            )
        if not np.isfinite(self.state).all():
            first = int(np.flatnonzero(~np.isfinite(self.state))[0])
            raise ForesightError(
                f"{whose} gave {self.state[first]} as {spec.state[first].name!r}: check the sensor."
            )
        if self.executed is not None and self.executed.shape != (len(spec.action),):
            raise ForesightError(
                f"{whose} says that it executed an action of shape {list(self.executed.shape)} "
                f"where {len(spec.action)} numbers were expected."
            )


def pictures_of(
    observations: Sequence[Observation], cameras: Sequence[str]
) -> dict[str, UInt8[np.ndarray, "B H W 3"]]:
    """The pictures of several robots, camera by camera; a lone camera's name does not matter.

    Raises:
        ForesightError: a camera is missing.
    """
    seen = list(observations[0].images)
    if len(cameras) == 1 and len(seen) == 1:
        cameras = seen
    for name in cameras:
        if name not in seen:
            raise ForesightError(
                f"There is no picture of camera {name!r} (there is "
                f"{', '.join(map(repr, seen)) or 'none'}): give the cameras that the model was "
                "trained on."
            )
    return {name: np.stack([one.images[name] for one in observations]) for name in cameras}
