"""Loading a dm_control task, with the two repairs that dm_control 1.0.30 needs.

A model is compiled once for all environments of a process: that takes most of making one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from foresight.core.extras import require
from foresight.envs.gl import choose_gl

choose_gl(required=False)  # before anything imports MuJoCo


def load(domain: str, task: str, random: np.random.RandomState) -> Any:
    """The dm_control ``Environment`` of a task, without a time limit.

    Args:
        domain: dm_control's domain.
        task: dm_control's task in it.
        random: the generator that the task draws its episodes from; seeding it with ``s`` before
            a reset equals loading the task with ``{"random": s}``.

    Raises:
        ForesightError: dm_control is not installed.
    """
    for package in ("mujoco", "dm_control"):
        require(package, "Every task of dm_control")
    from dm_control import suite

    if domain == "quadruped":
        _mend_sensor_names()
    kwargs = {"random": random, "time_limit": float("inf")}
    with _compiled_once():
        environment = suite.load(domain, task, task_kwargs=kwargs)
    if (domain, task) == ("quadruped", "escape"):
        _forbid_new_contexts(environment.task)
    return environment


@contextmanager
def _compiled_once() -> Iterator[None]:
    """Within it dm_control is given copies of models that are compiled already."""
    from dm_control.mujoco.wrapper import core

    real = core._get_model_ptr_from_xml

    def made(xml_path: Any = None, xml_string: Any = None, assets: Any = None) -> Any:
        if xml_string is None:
            return real(xml_path, xml_string, assets)
        # A copy from the first on: what is kept must stay as it was compiled.
        return copy.copy(_compiled(xml_string, _Files(assets or {})))

    core._get_model_ptr_from_xml = made
    try:
        yield
    finally:
        core._get_model_ptr_from_xml = real


class _Files(dict[str, Any]):
    """Files by name that can be a key: equal where all their contents are."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


@lru_cache(maxsize=4)  # each some 13 MB, of which the sky has most
def _compiled(xml: str | bytes, files: _Files) -> Any:
    import mujoco

    return mujoco.MjModel.from_xml_string(xml, files)


def _mend_sensor_names() -> None:
    """Quadruped's sensors are found with ``np.in1d``, which NumPy 2.4 no longer has."""
    from dm_control.suite import quadruped

    def names(self: Any, *sensor_types: int) -> list[str]:
        found = self._sensor_types_to_names.get(sensor_types)
        if found is None:
            (sensors,) = np.where(np.isin(self.model.sensor_type, sensor_types))
            found = [self.model.id2name(sensor, "sensor") for sensor in sensors]
            self._sensor_types_to_names[sensor_types] = found
        return found

    quadruped.Physics._get_sensor_names = names


def _forbid_new_contexts(task: Any) -> None:
    """Let a reset of quadruped-escape update dm_control's renderer, but not start one.

    It means to upload the new terrain where there is a renderer, and makes one by asking. That
    costs time, needs OpenGL for physics alone, and disturbs the contexts of our own renderers.
    """
    initialize = task.initialize_episode
    task.initialize_episode = lambda physics: initialize(_WithoutNewContexts(physics))


class _WithoutNewContexts:
    """A ``Physics`` whose ``contexts`` are None until somebody else has made them."""

    def __init__(self, physics: Any) -> None:
        self._physics = physics

    @property
    def contexts(self) -> Any:
        return self._physics._contexts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._physics, name)
