"""``foresight serve``: a policy over the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from foresight.cli.robot_options import RobotOptions


@dataclass(frozen=True)
class Config(RobotOptions):
    """Let a robot elsewhere ask a policy over the network, until Ctrl-C.

    The robot's computer needs one file, foresight/serving/client.py, with NumPy, msgpack and
    websockets. One robot is served at a time; when this server is killed and started again, the
    robot goes on. Nothing is encrypted and nobody is asked for a password: keep to the loopback
    address, or to a network of your own.
    """

    policy: Annotated[str, tyro.conf.Positional]
    """Folder of a checkpoint of any kind that acts, or a policy's name: random, ar1:0.9, ..."""
    env: str | None = None
    """The environment or robot that a policy's name, or a planner, is for; a checkpoint's own if
    not given."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all networks."""
    port: int = 8765
    """Port; 0 for any free one."""


def main(config: Config) -> None:
    """Load, listen and answer."""
    from foresight.core.extras import require

    require("websockets", "Serving a policy")
    require("msgpack", "Serving a policy")
    from foresight.envs.registry import EnvConfig
    from foresight.pipelines.acting import lateness_of, policy_and_spec
    from foresight.policies.adaptive.config import adaptation_of
    from foresight.serving.server import PolicyServer

    env = EnvConfig(config.env or "")
    policy, spec, name = policy_and_spec(
        config.policy,
        env,
        config.device,
        lateness_of(config.compensate, env),
        adaptation_of(config.adapt, config.keep_adapted),
    )
    server = PolicyServer(policy, spec, name, config.host, config.port)
    print(f"{name} at ws://{config.host}:{server.port}", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        print(f"stopped after {server.requests:,} decisions")
    finally:
        server.close()
        policy.close()
