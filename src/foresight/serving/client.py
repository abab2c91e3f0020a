"""The robot's side of ``foresight serve``: one file, without torch and without Foresight.

    from foresight_client import RemotePolicy          # this file, copied to the robot

    policy = RemotePolicy("ws://192.168.0.7:8765")
    policy.reset(observation, seed=0)
    action = policy.act(observation)                    # float32 [A]
    chunk = policy.predict_action_chunk(observation)    # float32 [K, A], where the policy has it

An observation is a dict: ``images`` (camera to uint8 RGB ``[H, W, 3]``), ``state`` (float32
``[P]``), and where they matter ``task`` (text), ``timestamp`` (seconds), ``executed`` (float32
``[A]``, what the robot has just done) and ``age`` (decisions by which it is old). An object with
these attributes will do, too. It needs ``pip install numpy msgpack websockets``.

One message is one msgpack map; arrays are the extension type 1. A request has ``do`` (``hello``,
``reset``, ``act``, ``chunk``, ``watch``); an answer has ``error``, a sentence, if the request was
not met.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.sync.client import ClientConnection, connect

PROTOCOL = 1
"""Version of the messages."""
ARRAY = 1
"""msgpack's extension type of an array."""
LARGEST = 2**28
"""Bytes of the largest message: about forty raw pictures of full HD."""
PAUSE = 0.2
"""Seconds between two attempts to reach a server."""
LOST = (ConnectionClosed, InvalidHandshake, InvalidMessage, OSError, TimeoutError)


class ServerError(RuntimeError):
    """The server's sentence on a request that it did not meet."""


def pack(message: Any) -> bytes:
    """The bytes of a message; NumPy's arrays and numbers may be anywhere in it."""
    packed: bytes = msgpack.packb(message, default=_plain)
    return packed


def unpack(data: bytes) -> Any:
    """The message of bytes.

    Raises:
        ValueError: they are no message, or hold an array of an unknown or mismatching type.
    """
    try:
        return msgpack.unpackb(data, ext_hook=_array, strict_map_key=False)
    except ValueError:
        raise
    except Exception as error:  # msgpack's own errors have no common parent
        raise ValueError(f"no message: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"an array of {value.dtype} cannot be sent: send numbers")
        head = [value.dtype.str, list(value.shape)]
        return msgpack.ExtType(ARRAY, msgpack.packb(head) + np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be sent: send numbers, text and arrays")


def _array(code: int, data: bytes) -> Any:
    if code != ARRAY:
        raise ValueError(f"extension type {code} is unknown")
    reader = msgpack.Unpacker()
    reader.feed(data)
    name, shape = reader.unpack()
    dtype = np.dtype(name)
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype} is not taken")
    # A copy: the bytes belong to the message, and nobody may write to them.
    return np.frombuffer(data, dtype, offset=reader.tell()).reshape(shape).copy()


def as_message(observation: Any) -> dict[str, Any]:
    """An observation, a dict or an object with its attributes, as it is sent."""
    keys = ("images", "state", "task", "timestamp", "executed", "age")
    if isinstance(observation, Mapping):
        unknown = sorted(set(observation) - set(keys))
        if unknown:
            raise TypeError(f"an observation has no {unknown[0]!r}: it has {', '.join(keys)}")
        found = {key: observation.get(key) for key in keys}
    else:
        found = {key: getattr(observation, key, None) for key in keys}
    message = {
        "images": {str(name): np.asarray(v) for name, v in (found["images"] or {}).items()},
        "state": np.asarray([] if found["state"] is None else found["state"], np.float32),
        "task": found["task"],
        "timestamp": float(found["timestamp"] or 0.0),
    }
    if found["executed"] is not None:
        message["executed"] = np.asarray(found["executed"], np.float32)
    if found["age"] is not None:
        message["age"] = int(found["age"])
    return message


class RemotePolicy:
    """A policy that another machine computes.

    When the connection is lost, or the server killed and started again, the next request waits for
    it, begins the episode anew at the present observation (what the policy remembered of it is
    gone), and is answered then.

    Attributes:
        hello: what the server said of itself: ``policy``, ``spec``, ``chunk``, ``watches``,
            ``foresight``.
        reconnections: how often the connection had to be made again.
    """

    def __init__(self, url: str, patience: float = 30.0) -> None:
        """Connect.

        Args:
            url: for example ``ws://localhost:8765``.
            patience: seconds to wait for a server, now and whenever it is lost.

        Raises:
            ServerError: there is no such server, it speaks another version, or serves another
                robot at present.
        """
        self.url = url
        self.patience = patience
        self.reconnections = 0
        self._seed = 0
        self._held = ExitStack()
        self._connection: ClientConnection | None = None
        self.hello: dict[str, Any] = {}
        self._open(again=False)

    @property
    def chunks(self) -> bool:
        """Whether the policy decides several actions ahead."""
        return bool(self.hello["chunk"])

    def reset(self, observation: Any, seed: int = 0) -> None:
        """Begin an episode."""
        self._seed = seed
        request = {"do": "reset", "observation": as_message(observation), "seed": seed}
        self._ask(request, observation)

    def act(self, observation: Any) -> np.ndarray:
        """The next action, float32 ``[A]``."""
        request = {"do": "act", "observation": as_message(observation)}
        action: np.ndarray = self._ask(request, observation)["action"]
        return action

    def predict_action_chunk(self, observation: Any, frozen: Any = None) -> np.ndarray:
        """The next actions, float32 ``[K, A]``.

        Args:
            observation: of now.
            frozen: the first of them, ``[D, A]``, which will be executed anyway while the others
                are computed; a policy that cannot go on from them decides all anew.

        Raises:
            ServerError: the policy decides one action at a time.
        """
        request = {"do": "chunk", "observation": as_message(observation)}
        if frozen is not None:
            request["frozen"] = np.asarray(frozen, np.float32)
        chunk: np.ndarray = self._ask(request, observation)["chunk"]
        return chunk

    def watch(self, observation: Any) -> None:
        """A step between two decisions; it is sent if the policy looks back on such steps."""
        if self.hello["watches"]:
            self._ask({"do": "watch", "observation": as_message(observation)}, observation)

    def close(self) -> None:
        """Leave the server to others."""
        self._connection = None
        self._held.close()

    def __enter__(self) -> RemotePolicy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: dict[str, Any], observation: Any) -> dict[str, Any]:
        """Send a request; after a lost connection once more, in an episode begun anew."""
        try:
            return self._exchange(request)
        except LOST:
            self._open(again=True)
            self.reconnections += 1
            again = {"do": "reset", "observation": as_message(observation), "seed": self._seed}
            answer = self._exchange(again)
            return answer if request["do"] == "reset" else self._exchange(request)

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._connection is None:
            raise ConnectionError("closed")
        self._connection.send(pack(request))
        answer: dict[str, Any] = unpack(self._connection.recv())  # type: ignore[arg-type]
        if "error" in answer:
            raise ServerError(answer["error"])
        return answer

    def _open(self, again: bool) -> None:
        """Connect and introduce ourselves, for as long as there is patience.

        After a lost connection the server may believe for a while that we are still there: then
        its refusal is waited out, too.
        """
        self.close()
        until = time.monotonic() + self.patience
        while True:
            try:
                opened = connect(self.url, max_size=LARGEST, compression=None)
                self._connection = self._held.enter_context(opened)
                self.hello = self._exchange({"do": "hello", "protocol": PROTOCOL})
                return
            except (ServerError, *LOST) as error:
                self.close()
                refused = isinstance(error, ServerError)
                if time.monotonic() < until and (again or not refused):
                    time.sleep(PAUSE)
                elif refused:
                    raise
                else:
                    raise ServerError(
                        f"No server answers at {self.url} ({error}): start `foresight serve "
                        "CHECKPOINT` there, or give its address."
                    ) from None
