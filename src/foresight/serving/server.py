"""The policy's side: answers one robot at a time over a websocket."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from foresight import __version__
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Policy, predicts_chunks
from foresight.core.spec import Spec
from foresight.serving.client import LARGEST, PROTOCOL, pack, unpack
from foresight.serving.control_loop import Watches

log = logging.getLogger(__name__)
PORTS = 2**16
LOOPBACK = "127.0.0.1"
"""Nobody but this machine, unless the user says otherwise: there is no password."""


class PolicyServer:
    """Serves a policy; the robot's episode lives here, its clock on the robot.

    A wrong request is answered with a sentence and the connection stays. A robot that leaves, or
    is killed, makes room for the next one, whose first request is ``reset``.
    """

    def __init__(
        self, policy: Policy, spec: Spec, name: str, host: str = LOOPBACK, port: int = 8765
    ) -> None:
        """Listen.

        Args:
            policy: acts.
            spec: of its robot: observations are compared with it.
            name: of the policy, for the robot's log.
            host: address to listen on; ``0.0.0.0`` for the whole network.
            port: 0 for any free one.

        Raises:
            ForesightError: the port is taken, or the address is not ours.
        """
        self._policy, self._spec, self._name = policy, spec, name
        self._robot = threading.Lock()
        self._begun = False
        self.requests = 0
        if not 0 <= port < PORTS:
            raise ForesightError(f"Port {port} is none: give another --port, below {PORTS:,}.")
        try:
            self._server: Server = serve(
                self._serve_robot, host, port, max_size=LARGEST, compression=None
            )
        except OSError as error:
            raise ForesightError(
                f"Cannot listen on {host}:{port} ({error}): give another --port or --host."
            ) from None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.socket.getsockname()[1])

    def run(self) -> None:
        """Answer until :meth:`close` is called from another thread."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()

    def _serve_robot(self, connection: ServerConnection) -> None:
        free = self._robot.acquire(blocking=False)
        try:
            for data in connection:
                answer = self._answer(data) if free else {"error": _BUSY}
                connection.send(pack(answer))
        except ConnectionClosed:
            pass  # a robot that was switched off
        finally:
            if free:
                self._begun = False
                self._robot.release()

    def _answer(self, data: bytes | str) -> dict[str, Any]:
        """The answer to a request; whatever is wrong with it becomes a sentence."""
        try:
            request = unpack(data if isinstance(data, bytes) else data.encode())
            if not isinstance(request, Mapping):
                raise ForesightError(f"A {type(request).__name__} is no request: send a map.")
            return self._handlers().get(request.get("do"), _unknown)(request)
        except ForesightError as error:
            return {"error": str(error)}
        except (ValueError, TypeError) as error:
            log.debug("unreadable request", exc_info=True)
            return {"error": f"The request cannot be read ({error}): send what client.py sends."}
        except Exception as error:  # the robot must hear of it, and the next one must be served
            log.exception("the policy failed")
            return {"error": f"{self._name} failed ({type(error).__name__}: {error})."}

    def _handlers(self) -> dict[Any, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        return {
            "hello": self._hello,
            "reset": self._reset,
            "act": self._act,
            "chunk": self._chunk,
            "watch": self._watch,
        }

    def _hello(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request.get("protocol") != PROTOCOL:
            raise ForesightError(
                f"The robot speaks version {request.get('protocol')} of the messages and this "
                f"server version {PROTOCOL}: copy its client.py to the robot."
            )
        return {
            "foresight": __version__,
            "policy": self._name,
            "spec": self._spec.to_json(),
            "chunk": predicts_chunks(self._policy),
            "watches": isinstance(self._policy, Watches),
        }

    def _reset(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._policy.reset(self._observation(request), int(request.get("seed", 0)))
        self._begun = True
        return {"ok": True}

    def _act(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._decide(request, "action", self._policy.act)

    def _chunk(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if not predicts_chunks(self._policy):
            raise ForesightError(
                f"{self._name} decides one action at a time: ask it to act, not for a chunk."
            )
        decide: Callable[..., np.ndarray] = self._policy.predict_action_chunk
        frozen = request.get("frozen")
        if frozen is not None and "frozen" in signature(decide).parameters:
            known = np.asarray(frozen, np.float32)
            if known.ndim != 2 or known.shape[1] != len(self._spec.action):
                raise ForesightError(
                    f"The frozen actions have the shape {list(known.shape)}: send some of "
                    f"{len(self._spec.action)} numbers each."
                )
            decide = partial(decide, frozen=known)
        return self._decide(request, "chunk", decide)

    def _watch(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._expect_episode()
        if isinstance(self._policy, Watches):
            self._policy.watch(self._observation(request))
        return {"ok": True}

    def _decide(
        self, request: Mapping[str, Any], key: str, decide: Callable[[Observation], np.ndarray]
    ) -> dict[str, Any]:
        self._expect_episode()
        observation = self._observation(request)
        started = time.perf_counter()
        decided = np.asarray(decide(observation), np.float32)
        self.requests += 1
        return {key: decided, "seconds": time.perf_counter() - started}

    def _expect_episode(self) -> None:
        if not self._begun:
            raise ForesightError("No episode has begun: send reset with its first observation.")

    def _observation(self, request: Mapping[str, Any]) -> Observation:
        raw = request.get("observation")
        if not isinstance(raw, Mapping):
            raise ForesightError("The request has no observation: send images and state.")
        task = raw.get("task")
        told = {"executed_action": raw.get("executed"), "observation_age": raw.get("age")}
        found = Observation.of(raw, task, float(raw.get("timestamp") or 0.0), told)
        found.check(self._spec, "The robot")
        return found


def _unknown(request: Mapping[str, Any]) -> dict[str, Any]:
    raise ForesightError(
        f"There is no {request.get('do')!r}: send hello, reset, act, chunk or watch."
    )


_BUSY = "Another robot is being served: wait until it leaves, or start a server of your own."
