"""``foresight drive``: a policy at a fixed rate."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from foresight.cli.robot_options import RobotOptions
from foresight.serving.control_loop import LoopConfig


@dataclass(frozen=True)
class Config(RobotOptions):
    """Drive an environment in real time, and say how late its actions came.

    What a policy does in a simulator that waits for it is not what it does on a robot that does
    not. Here the environment takes a step at every tick, whatever the policy does; the next chunk
    of actions is computed while the last is executed. `remote:ws://HOST:PORT` asks a server.
    """

    policy: Annotated[str, tyro.conf.Positional]
    """Folder of a checkpoint of any kind that acts, or a policy's name: random, ar1:0.9, ..."""
    env: str | None = None
    """Environment: an id of `foresight envs list`, gym/ID or MODULE:ENV. A checkpoint's own if not
    given."""
    loop: Annotated[LoopConfig, tyro.conf.arg(name="")] = field(default_factory=LoopConfig)
    """The clock."""
    out: Path | None = None
    """A JSON file for the report, if it is to be kept."""


def main(config: Config) -> None:
    """Drive and tell."""
    from foresight.core.files import write_json
    from foresight.envs.interface import spec_of
    from foresight.envs.registry import EnvConfig
    from foresight.pipelines.acting import lateness_of, policy_of
    from foresight.policies.adaptive.config import adaptation_of
    from foresight.serving.control_loop import ControlLoop
    from foresight.serving.env_robot import EnvRobot

    base = EnvConfig(config.env or "")
    found = policy_of(
        config.policy,
        base,
        device=config.device,
        lateness=lateness_of(config.compensate, base),
        adaptation=adaptation_of(config.adapt, config.keep_adapted),
    )
    env = found.env.make()
    policy = found.maker(spec_of(env))
    try:
        robot = EnvRobot(env, config.loop.seed)
        report = ControlLoop(robot, policy, config.loop).run()
    finally:
        policy.close()
        env.close()
    print(report.sentence(config.loop.rate))
    done = len(robot.returns)
    if done:
        print(f"{done} episodes, mean return {sum(robot.returns) / done:.4g}", end="")
        print(f", {sum(robot.successes)} succeeded" if robot.successes else "")
    if config.out is not None:
        told = asdict(report) | {"returns": robot.returns, "successes": robot.successes}
        write_json(config.out, told)
        print(f"report: {config.out}")
