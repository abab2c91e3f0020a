"""Loading a dm_control task, with the two repairs that dm_control 1.0.30 needs."""

from __future__ import annotations

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
    environment = suite.load(domain, task, task_kwargs=kwargs)
    if (domain, task) == ("quadruped", "escape"):
        _forbid_new_contexts(environment.task)
    return environment


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
