"""``remote:ws://HOST:PORT``: a policy that `foresight serve` computes elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.observation import Observation
from foresight.core.policy import Policy
from foresight.core.spec import Spec
from foresight.policies.registry import register_policy


class RemotePolicy(Policy):
    """Asks a server for every action, or chunk of them; waits for one that is started again."""

    def __init__(self, url: str, spec: Spec, patience: float = 30.0) -> None:
        """Connect, and compare the robots.

        Args:
            url: of the server, for example ``ws://localhost:8765``.
            spec: of the robot here.
            patience: seconds to wait for a server.

        Raises:
            ForesightError: no server, or one that serves another kind of robot.
        """
        require("websockets", "Asking a policy server")
        require("msgpack", "Asking a policy server")
        from foresight.serving import client

        self._refusal = client.ServerError
        try:
            self._client = client.RemotePolicy(url, patience)
        except client.ServerError as error:
            raise ForesightError(str(error)) from None
        theirs = Spec.from_json(self._client.hello["spec"])
        try:
            theirs.expect(spec, f"The policy at {url}", "the robot", ("action",))
        except ForesightError:
            self.close()
            raise

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode there."""
        self._ask("reset", observation, seed)

    def act(self, observation: Observation) -> Float32[np.ndarray, " A"]:
        """The server's action."""
        action: np.ndarray = self._ask("act", observation)
        return action

    @property
    def chunks(self) -> bool:
        """Whether the server's policy decides several actions ahead."""
        return self._client.chunks

    def predict_action_chunk(
        self, observation: Observation, frozen: Float32[np.ndarray, "D A"] | None = None
    ) -> Float32[np.ndarray, "K A"]:
        """The server's next actions, going on from those that are under way."""
        chunk: np.ndarray = self._ask("predict_action_chunk", observation, frozen)
        return chunk

    def watch(self, observation: Observation) -> None:
        """Show the server a step between two decisions, if its policy looks back on such steps."""
        self._ask("watch", observation)

    def notes(self) -> dict[str, Any]:
        """How often the connection was made again."""
        return {"reconnections": self._client.reconnections}

    def close(self) -> None:
        """Leave the server to others."""
        self._client.close()

    def _ask(self, what: str, *words: Any) -> Any:
        try:
            return getattr(self._client, what)(*words)
        except self._refusal as error:
            raise ForesightError(f"The policy server says: {error}") from None


def _make(name: str, spec: Spec, env_id: str | None) -> Policy:
    url = name.partition(":")[2]
    if not url.startswith(("ws://", "wss://")):
        raise ForesightError(
            f"{name!r} names no server: write remote:ws://HOST:PORT, as `foresight serve` says."
        )
    return RemotePolicy(url, spec)


register_policy("remote", _make, "remote:ws://localhost:8765")
