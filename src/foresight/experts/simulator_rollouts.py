"""Many futures of one simulator state, stepped by MuJoCo's own thread pool."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import numpy as np

from foresight.envs.gl import choose_gl

choose_gl(required=False)  # before anything imports MuJoCo

import mujoco  # noqa: E402
from mujoco import rollout  # noqa: E402

Array = np.ndarray
_FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS


def default_threads() -> int:
    """Return the threads that planning should use: all cores, but one in a worker process.

    Worker processes already share the cores among themselves; more threads would only queue.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    return os.cpu_count() or 1


class BatchSimulator:
    """Rolls one state of a dm_control task forward under many control sequences.

    The futures are those that dm_control would show: the same integrator from the same state with
    the same solver warm start. Results do not depend on the number of threads, since each future
    is simulated whole by one thread.

    Args:
        model: The task's ``mujoco.MjModel``.
        substeps: Physics steps in one control step.
        threads: Size of the thread pool, at least 1; 1 simulates on the calling thread.
        sensors: Whether sensor data are wanted (costs one more physics step a future).
    """

    def __init__(self, model: Any, substeps: int, threads: int, sensors: bool) -> None:
        self.model = model
        self.substeps = substeps
        self.sensors = sensors and model.nsensordata > 0
        self._datas = [mujoco.MjData(model) for _ in range(threads)]
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)

    def close(self) -> None:
        """End the threads."""
        self._pool.close()

    def full_state(self, data: Any) -> Array:
        """Return the full physics state of ``data``, float64 ``[1 + nq + nv + na]``, time first."""
        state = np.empty(mujoco.mj_stateSize(self.model, _FULL))
        mujoco.mj_getState(self.model, data, state, _FULL)
        return state

    def futures(self, start: Array, warmstart: Array, controls: Array) -> tuple[Array, Array]:
        """Return where ``controls`` lead from ``start``.

        Args:
            start: Full physics state, float64 ``[F]``, or one for each sequence, ``[S, F]``.
            warmstart: ``qacc_warmstart`` of the simulator, float64 ``[nv]`` or ``[S, nv]``.
            controls: Control sequences, float64 ``[S, H, A]``, one row for each control step.

        Returns:
            States (without time) float64 ``[S, H, F-1]`` and sensor data float64 ``[S, H, ns]``
            after each control step; ns is 0 where sensors are not wanted.
        """
        samples, horizon, _ = controls.shape
        fine = np.repeat(controls, self.substeps, axis=1)
        if self.sensors:
            # mj_step leaves the sensors of the state it started from. One step more, and each
            # control step's sensors stand one physics step after its end.
            fine = np.concatenate([fine, fine[:, -1:]], axis=1)
        states, sensors = self._pool.rollout(
            self.model,
            self._datas,
            np.atleast_2d(start),
            fine,
            initial_warmstart=np.atleast_2d(warmstart),
        )
        ends = slice(self.substeps - 1, horizon * self.substeps, self.substeps)
        width = 1 + self.model.nq + self.model.nv + self.model.na
        reached = states[:, ends, 1:width]
        if not self.sensors:
            return reached, np.empty((samples, horizon, 0))
        return reached, sensors[:, self.substeps :: self.substeps]
