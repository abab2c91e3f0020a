"""What environments share whose pictures are drawn from a MuJoCo model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any

import gymnasium
import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.observation import Picture, PicturesOnDemand
from foresight.envs.render import FrameRenderer, RenderSettings


class SceneEnv(gymnasium.Env[dict[str, Any], np.ndarray], ABC):
    """Draws its cameras when they are looked at, with a renderer that is made late.

    Attributes:
        render_settings: how frames look, or None for physics alone.
        on_demand: pictures are drawn when they are looked at, which has to be before the next step.
    """

    _seed: int
    """Of the running episode."""

    def _begin_pictures(
        self,
        whose: str,
        render: RenderSettings | None,
        cameras: Sequence[str],
        known: Collection[str],
    ) -> None:
        """Take in what is to be seen.

        Args:
            whose: the task, for the sentence.
            render: how frames look, or None for physics alone.
            cameras: names.
            known: those that there are.

        Raises:
            ForesightError: no such camera.
        """
        self.render_settings = render
        self._cameras = tuple(cameras) if render is not None else ()
        for name in self._cameras:
            if name not in known:
                raise ForesightError(
                    f"{whose} has no camera {name!r}: choose among {', '.join(known)}."
                )
        self.render_mode = "rgb_array" if self._cameras else None
        self.on_demand = False
        self._moment = 0
        self._renderer: FrameRenderer | None = None

    @property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width of every camera."""
        render = self.render_settings
        sides = (0, 0) if render is None else (render.height, render.width)
        return dict.fromkeys(self._cameras, sides)

    @property
    @abstractmethod
    def _scene(self) -> tuple[Any, Any]:
        """MuJoCo's model and data of the present moment."""

    def _camera(self, name: str) -> int | str:
        """What the model calls a camera, or its number."""
        return name

    def render(self) -> Picture | None:  # type: ignore[override]
        """The first camera's frame, uint8 ``[H, W, 3]``, or None for one without cameras."""
        return self._view(self._cameras[0]) if self._cameras else None

    def close(self) -> None:
        """Free the renderer; the next frame makes a new one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _new_episode(self) -> None:
        """Let the renderer know whose look is varied by the episode's seed."""
        if self._renderer is not None:
            self._renderer.new_episode(self._seed)

    def _view(self, camera: str) -> Picture:
        assert self.render_settings is not None
        model, data = self._scene
        if self._renderer is None:  # made late: a renderer belongs to the process that uses it
            self._renderer = FrameRenderer(model, self.render_settings)
            self._new_episode()
        return self._renderer.render(data, self._camera(camera))

    def _images(self) -> dict[str, Picture]:
        """What is seen now, drawn at once unless ``on_demand``."""
        self._moment += 1
        now = self._moment
        seen = PicturesOnDemand(self._cameras, self._view, lambda: now == self._moment)
        return seen if self.on_demand else dict(seen.items())
