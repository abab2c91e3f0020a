"""Frames from a MuJoCo model: the native renderer, fast on a CPU."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from foresight.core.errors import ForesightError
from foresight.envs.gl import choose_gl, missing_gl
from foresight.envs.visual_randomization import Looks

if TYPE_CHECKING:
    import mujoco

choose_gl(required=False)  # before anything imports MuJoCo

MIN_SIZE, MAX_SIZE = 16, 2048
LARGE_MESH = 2000
"""Faces of a mesh that is worth drawing more coarsely."""


@dataclass(frozen=True)
class RenderSettings:
    """What a frame looks like.

    Attributes:
        size: pixels of a side, or height and width.
        camera: the model's camera by number or name, where no other is asked for; -1 is
            MuJoCo's free camera.
        quality: ``fast`` leaves out shadows, reflections and multisampling, which cost most of
            the time of a software renderer; ``smooth`` is fast drawn at twice the size and
            averaged, so that a thing's place is seen to a fraction of a pixel (about a quarter
            slower); ``full`` equals dm_control's own pictures.
        look: ``plain`` shows the model as it is; ``varied`` draws colours, light and a camera a
            little beside the model's own from each episode's seed (see
            `foresight.envs.visual_randomization`).
        coarse: metres; large meshes are drawn with vertices this far apart, for they cost most of
            the time of small frames. 0 draws them as they are.
        hidden: numbers of MuJoCo's groups of geoms that are not drawn; it leaves out 3 to 5 itself.
    """

    size: int | tuple[int, int] = 64
    camera: int | str = 0
    quality: Literal["fast", "smooth", "full"] = "fast"
    look: Literal["plain", "varied"] = "plain"
    coarse: float = 0.0
    hidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.size, list):  # as JSON gives it back
            object.__setattr__(self, "size", tuple(self.size))
        sides = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if len(sides) != 2 or not all(map(_possible, sides)):
            raise ForesightError(
                f"Frame size {self.size!r} is not possible: choose a whole number of pixels from "
                f"{MIN_SIZE} to {MAX_SIZE}, or height and width."
            )
        if self.quality not in ("fast", "smooth", "full"):
            raise ForesightError(
                f"Unknown render quality {self.quality!r}: choose fast, smooth or full."
            )
        if self.look not in ("plain", "varied"):
            raise ForesightError(f"Unknown look {self.look!r}: choose plain or varied.")
        if isinstance(self.camera, bool) or not isinstance(self.camera, int | str):
            raise ForesightError(
                f"Camera {self.camera!r} is neither a number nor a name: give one of them."
            )

    @property
    def height(self) -> int:
        """Rows of a frame."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Columns of a frame."""
        return self.size if isinstance(self.size, int) else self.size[1]

    @property
    def scale(self) -> int:
        """Drawn pixels per pixel of a frame, along each side."""
        return 2 if self.quality == "smooth" else 1


class FrameRenderer:
    """Renders one model; lives in the process that made it.

    Args:
        model: the native ``mujoco.MjModel`` (of dm_control: ``physics.model.ptr``). It is left
            as it was.
        settings: size, camera and quality.

    Raises:
        ForesightError: the model has no such camera, or this machine cannot render.
    """

    def __init__(self, model: mujoco.MjModel, settings: RenderSettings) -> None:
        choose_gl()
        import mujoco

        self.settings = settings
        self._model = model
        self._camera = _camera_id(model, settings.camera)
        self._looks = Looks(model) if settings.look == "varied" else None
        height, width = (side * settings.scale for side in (settings.height, settings.width))
        with _context_settings(model, settings), _coarse_meshes(model, settings.coarse):
            try:
                self._renderer = _CONTEXTS.renderer(model, height, width)
            except Exception as error:  # every GL library has its own kind of failure
                raise _no_context(error) from error
        # Runs at exit too, while the OpenGL library is still whole.
        self._finalizer = weakref.finalize(self, _free, self._renderer)
        _tell_dm_control()
        self._options = mujoco.MjvOption()
        self._options.flags[mujoco.mjtVisFlag.mjVIS_RANGEFINDER] = False  # as in dm_control
        self._options.geomgroup[list(settings.hidden)] = 0
        if settings.quality != "full":
            flags = self._renderer.scene.flags
            flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False

    def render(self, data: mujoco.MjData, camera: int | str | None = None) -> np.ndarray:
        """The picture of ``data``, uint8 RGB ``[H, W, 3]``, upright.

        Args:
            data: the state of the model.
            camera: number or name; the settings' camera if not given.

        Raises:
            ForesightError: the model has no such camera.
        """
        if self._looks is not None:
            import mujoco

            # A look that was drawn after the last step: cameras and lights are in their old place.
            mujoco.mj_camlight(self._model, data)
        number = self._camera if camera is None else _camera_id(self._model, camera)
        self._renderer.update_scene(data, camera=number, scene_option=self._options)
        frame = self._renderer.render()
        _tell_dm_control()
        return frame if self.settings.scale == 1 else _halved(frame)

    def new_episode(self, seed: int) -> None:
        """Draw the look of an episode, where looks are varied."""
        if self._looks is not None:
            self._looks.draw(seed)

    def model_changed(self) -> None:
        """Upload what a task has changed in the model since the last frame (terrain)."""
        import mujoco

        context = self._renderer._mjr_context
        for field in range(self._model.nhfield):
            if self._renderer._gl_context:
                self._renderer._gl_context.make_current()
            mujoco.mjr_uploadHField(self._model, context, field)
        _tell_dm_control()

    def close(self) -> None:
        """Free the OpenGL context; the renderer cannot be used afterwards."""
        if self._looks is not None:
            self._looks.restore()
        self._finalizer()


class FilmCamera:
    """A second view of a simulator, drawn apart from what a policy sees.

    Args:
        settings: how frames look.
        model: the native model.
        data: gives its present state.
    """

    def __init__(
        self, settings: RenderSettings, model: mujoco.MjModel, data: Callable[[], mujoco.MjData]
    ) -> None:
        self._data = data
        self._renderer = FrameRenderer(model, settings)

    def __call__(self) -> np.ndarray:
        """The present frame, uint8 ``[H, W, 3]``."""
        return self._renderer.render(self._data()).copy()

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()


def _possible(side: object) -> bool:
    whole = isinstance(side, int) and not isinstance(side, bool)
    return whole and MIN_SIZE <= side <= MAX_SIZE  # type: ignore[operator]


def _halved(frame: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels, rounded to nearest."""
    rows = frame[0::2].astype(np.uint16) + frame[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


class _Contexts:
    """OpenGL contexts that closed renderers left: a new one costs more than all else of a renderer.

    Only those of EGL, which have no size, and only in the main thread: a context is current in
    one thread at a time.
    """

    def __init__(self) -> None:
        self._spare: list[Any] = []
        self._over = False

    def renderer(self, model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
        """MuJoCo's renderer, in a spare context if there is one."""
        import mujoco

        module: Any = mujoco.gl_context
        real = module.GLContext
        if self._spare and threading.current_thread() is threading.main_thread():
            spare = self._spare.pop()
            module.GLContext = lambda *_: spare
        try:
            made = mujoco.Renderer(model, height, width)
        finally:
            module.GLContext = real
        self._close_at_exit()
        return made

    def keep(self, context: Any) -> bool:
        """Whether the context was put aside."""
        main = threading.current_thread() is threading.main_thread()
        if self._over or not main or type(context).__module__ != "mujoco.egl":
            return False
        self._spare.append(context)
        return True

    @functools.cache  # noqa: B019 (there is one)
    def _close_at_exit(self) -> None:
        atexit.register(self._close)  # after MuJoCo's own, which closes the display: done before it

    def _close(self) -> None:
        self._over = True
        while self._spare:
            self._spare.pop().free()


_CONTEXTS = _Contexts()


def _no_context(error: Exception) -> ForesightError:
    wanted = os.environ.get("MUJOCO_GL", "")
    taken = getattr(sys.modules.get("mujoco.gl_context"), "_MUJOCO_GL", wanted)
    if taken != wanted.lower().strip():
        return ForesightError(
            f"MuJoCo was imported before MUJOCO_GL={wanted} could be set: import foresight.envs "
            f"before mujoco and dm_control, or set MUJOCO_GL={wanted} in the shell."
        )
    return missing_gl(str(error) or type(error).__name__)


def _free(renderer: mujoco.Renderer) -> None:
    """Close ``renderer``, whose own ``close`` deletes from whatever context is current."""
    try:
        if renderer._gl_context:
            renderer._gl_context.make_current()
        if renderer._mjr_context:
            renderer._mjr_context.free()
            renderer._mjr_context = None
        if _CONTEXTS.keep(renderer._gl_context):
            renderer._gl_context = None
        renderer.close()
    except Exception as error:
        # At exit MuJoCo may have closed the display first: nothing is left to be freed.
        if type(error).__name__ not in ("EGLError", "GLError"):
            raise
        renderer._gl_context._context = None  # else its own __del__ would try once more
    _tell_dm_control()


def _tell_dm_control() -> None:
    """Make dm_control forget which context is current, for it has not seen ours.

    Otherwise its ``physics.render`` would draw into our context, and corrupt both pictures.
    """
    base = sys.modules.get("dm_control._render.base")
    if base is not None:
        base._CURRENT_CONTEXT_FOR_THREAD.clear()
        base._CURRENT_THREAD_FOR_CONTEXT.clear()


def _camera_id(model: mujoco.MjModel, camera: int | str) -> int:
    names = [model.camera(index).name for index in range(model.ncam)]
    if isinstance(camera, str) and camera in names:
        return names.index(camera)
    if isinstance(camera, int) and -1 <= camera < model.ncam:
        return camera
    listed = ", ".join(f"{index} ({name})" for index, name in enumerate(names))
    raise ForesightError(
        f"Unknown camera {camera!r}: this model has {listed or 'no camera'}, and -1 is the free "
        "camera."
    )


@contextlib.contextmanager
def _context_settings(model: mujoco.MjModel, settings: RenderSettings) -> Iterator[None]:
    """Set in the model, for the time of making a context, what MuJoCo reads only then."""
    visual: Any = model.vis
    before = (
        visual.global_.offwidth,
        visual.global_.offheight,
        visual.quality.shadowsize,
        visual.quality.offsamples,
    )
    visual.global_.offwidth = settings.width * settings.scale
    visual.global_.offheight = settings.height * settings.scale
    if settings.quality != "full":
        visual.quality.shadowsize = 0
        visual.quality.offsamples = 0
    try:
        yield
    finally:
        (
            visual.global_.offwidth,
            visual.global_.offheight,
            visual.quality.shadowsize,
            visual.quality.offsamples,
        ) = before


@contextlib.contextmanager
def _coarse_meshes(model: mujoco.MjModel, grid: float) -> Iterator[None]:
    """Let a context be made with fewer faces; the physics keeps its own.

    Vertices in one cell of a grid become one, and faces that this collapses are left out (vertex
    clustering; Rossignac and Borrel 1993).
    """
    names = ("mesh_facenum", "mesh_face", "mesh_facenormal", "mesh_facetexcoord")
    before = {name: getattr(model, name).copy() for name in names}
    for mesh in np.flatnonzero(model.mesh_facenum > LARGE_MESH) if grid > 0 else ():
        vertex, face = model.mesh_vertadr[mesh], model.mesh_faceadr[mesh]
        vertices = model.mesh_vert[vertex : vertex + model.mesh_vertnum[mesh]]
        cells = np.floor((vertices - vertices.min(axis=0)) / grid).astype(np.int64)
        keys = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1))
        _, first, cell = np.unique(keys, return_index=True, return_inverse=True)
        whole = slice(face, face + model.mesh_facenum[mesh])
        corners = first[cell][model.mesh_face[whole]]
        kept = np.flatnonzero((corners != np.roll(corners, 1, axis=1)).all(axis=1))
        part = slice(face, face + len(kept))
        model.mesh_face[part] = corners[kept]
        for name in names[2:]:
            getattr(model, name)[part] = before[name][whole][kept]
        model.mesh_facenum[mesh] = len(kept)
    try:
        yield
    finally:
        for name, values in before.items():
            getattr(model, name)[:] = values
