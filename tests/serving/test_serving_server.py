"""A policy behind a websocket: right answers, sentences for wrong requests, kills and restarts."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

from fake_robot import FakeRobot
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Policy
from foresight.core.spec import Spec, numbered_axes
from foresight.envs.wrap import wrap
from foresight.policies.remote import RemotePolicy as NamedRemote
from foresight.serving.client import PROTOCOL, RemotePolicy, ServerError, pack, unpack
from foresight.serving.control_loop import ControlLoop, LoopConfig
from foresight.serving.env_robot import EnvRobot
from foresight.serving.server import PolicyServer

SPEC = Spec({"front": (4, 5)}, numbered_axes("s", 3), numbered_axes("a", 2), 10)
SEEN = {"images": {"front": np.zeros((4, 5, 3), np.uint8)}, "state": np.float32([1, 2, 3])}


class Counter(Policy):
    """Answers with how often it was asked, and what it saw."""

    def reset(self, observation: Observation, seed: int) -> None:
        self.asked, self.seed = 0, seed

    def act(self, observation: Observation) -> np.ndarray:
        self.asked += 1
        if observation.state[0] < 0:
            raise IndexError("out of the policy's own depths")
        return np.float32([self.asked, observation.state.sum() + self.seed])


class Chunked(Counter):
    watched = 0

    def watch(self, observation: Observation) -> None:
        self.watched += 1

    def predict_action_chunk(
        self, observation: Observation, frozen: np.ndarray | None = None
    ) -> np.ndarray:
        chunk = np.tile(observation.state[:2], (4, 1))
        if frozen is not None:
            chunk[: len(frozen)] = frozen
        return chunk


@pytest.fixture
def serve():
    servers = []

    def start(policy: Policy, port: int = 0) -> PolicyServer:
        server = PolicyServer(policy, SPEC, "counter", port=port)
        servers.append(server)
        threading.Thread(target=server.run, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.close()


def url(server: PolicyServer) -> str:
    return f"ws://127.0.0.1:{server.port}"


def test_actions_and_chunks_are_the_policys(serve):
    served = Chunked()
    with RemotePolicy(url(serve(served)), patience=2) as policy:
        assert policy.hello["policy"] == "counter"
        assert policy.hello["chunk"] is True
        assert Spec.from_json(policy.hello["spec"]) == SPEC
        policy.reset(SEEN, seed=5)
        np.testing.assert_array_equal(policy.act(SEEN), np.float32([1, 11]))
        np.testing.assert_array_equal(policy.act(SEEN), np.float32([2, 11]))
        np.testing.assert_array_equal(policy.predict_action_chunk(SEEN), [[1, 2]] * 4)
        frozen = np.float32([[7, 8]])
        chunk = policy.predict_action_chunk(SEEN, frozen=frozen)
        np.testing.assert_array_equal(chunk, [[7, 8], [1, 2], [1, 2], [1, 2]])
        with pytest.raises(ServerError, match=r"shape \[1, 3\]"):
            policy.predict_action_chunk(SEEN, frozen=np.zeros((1, 3)))
        policy.watch(SEEN)
        assert served.watched == 1
        policy.reset(SEEN)
        np.testing.assert_array_equal(policy.act(SEEN), np.float32([1, 6]))


def test_what_a_late_robot_tells_arrives(serve):
    seen = []

    class Late(Counter):
        def act(self, observation: Observation) -> np.ndarray:
            seen.append(observation)
            return super().act(observation)

    with RemotePolicy(url(serve(Late())), patience=2) as policy:
        policy.reset(SEEN)
        policy.act({**SEEN, "executed": np.float32([3, 4]), "age": 2})
        policy.act(SEEN)
        with pytest.raises(ServerError, match="executed an action of shape"):
            policy.act({**SEEN, "executed": np.float32([3])})
    assert seen[0].executed.tolist() == [3, 4] and seen[0].age == 2
    assert seen[1].executed is None and seen[1].age is None


@pytest.mark.parametrize("decides", [Counter, Chunked])
def test_a_loop_asks_for_chunks_where_the_served_policy_decides_them(serve, decides):
    asked: list[str] = []

    class Still:
        def read(self) -> Observation:
            return Observation(SEEN["images"], SEEN["state"])

        def send(self, action: np.ndarray) -> None:
            asked.append("chunk" if action[0] == 1 and action[1] == 2 else "act")

    config = LoopConfig(rate=100, seconds=0.2, warm_up=0)
    for policy in (RemotePolicy(url(serve(decides()))), NamedRemote(url(serve(decides())), SPEC)):
        ControlLoop(Still(), policy, config).run()
        policy.close()
    assert set(asked) == {"chunk" if decides is Chunked else "act"}


def test_wrong_requests_get_sentences_and_the_connection_stays(serve):
    with RemotePolicy(url(serve(Counter())), patience=2) as policy:
        with pytest.raises(ServerError, match="send reset"):
            policy.act(SEEN)
        policy.reset(SEEN)
        small = np.zeros((2, 2, 3), np.uint8)
        for changed, words in (
            ({"images": {"front": small}}, r"\[2, 2, 3\] where uint8 \[4, 5, 3\]"),
            ({"images": {"wrist": small}}, "no picture of camera 'front'"),
            ({"state": [1.0]}, "3 numbers were expected"),
            ({"state": [1.0, np.nan, 2.0]}, "'s_1'"),
            ({"state": [-1.0, 0.0, 0.0]}, r"counter failed \(IndexError"),
        ):
            with pytest.raises(ServerError, match=words):
                policy.act(SEEN | changed)
        with pytest.raises(ServerError, match="one action at a time"):
            policy.predict_action_chunk(SEEN)
        assert policy.act(SEEN)[1] == 6
        assert policy.reconnections == 0


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\xc1", "cannot be read"),
        ("text", "cannot be read|is no request"),
        (pack([1]), "A list is no request"),
        (pack({"do": "fly"}), "There is no 'fly'"),
        (pack({"do": "hello", "protocol": PROTOCOL + 1}), "copy its client.py"),
        (pack({"do": "reset"}), "no observation"),
        (pack({"do": "reset", "observation": SEEN, "seed": "x"}), "cannot be read"),
    ],
)
def test_what_no_client_of_ours_sends(serve, message, words):
    with connect(url(serve(Counter()))) as raw:
        raw.send(message)
        answer = unpack(raw.recv())
        assert set(answer) == {"error"}
        assert re.search(words, answer["error"])


def test_one_robot_at_a_time(serve):
    server = serve(Counter())
    refusal = pytest.raises(ServerError, match="Another robot is being served")
    with RemotePolicy(url(server), patience=0), refusal:
        RemotePolicy(url(server), patience=0)
    until = time.monotonic() + 60
    while time.monotonic() < until:  # the server hears of the leaving a moment later
        try:
            RemotePolicy(url(server), patience=0).close()
            break
        except ServerError:
            time.sleep(0.02)
    else:
        pytest.fail("the place was not given back")


def test_a_taken_port_is_named(serve):
    server = serve(Counter())
    with pytest.raises(ForesightError, match="another --port"):
        PolicyServer(Counter(), SPEC, "second", port=server.port)


def test_a_robot_of_another_kind_is_refused(serve):
    other = Spec({"front": (4, 5)}, SPEC.state, numbered_axes("a", 7), 10)
    with pytest.raises(ForesightError, match="do not fit"):
        NamedRemote(url(serve(Counter())), other, patience=2)


@pytest.mark.slow
def test_a_killed_server_that_starts_again_is_gone_on_with():
    """`foresight serve` killed with -9 in the middle of an episode, and started again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", "ar1:0.9", "--env", "fake_robot:FakeRobot", "--port", str(port)]
    helpers = str(Path(__file__).parents[1] / "helpers")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([helpers, os.environ.get("PYTHONPATH", "")])}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "foresight", *words], env=env, stdout=subprocess.DEVNULL
        )

    first = start()
    try:
        env_here = wrap(FakeRobot())
        robot = EnvRobot(env_here)
        with RemotePolicy(f"ws://127.0.0.1:{port}", patience=60) as policy:
            policy.reset(robot.read(), seed=3)
            opening = [policy.act(robot.read()) for _ in range(3)]
            first.send_signal(signal.SIGKILL)
            first.wait()
            second = start()
            try:
                action = policy.act(robot.read())
                assert policy.reconnections == 1
                np.testing.assert_array_equal(action, opening[0])  # the episode begins anew
            finally:
                second.kill()
                second.wait()
    finally:
        first.kill()
        first.wait()
