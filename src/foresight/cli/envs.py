"""List environments, check that one of your own fits, or fetch what one needs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from foresight.core.errors import ForesightError

DOES_NOT_FIT = 2


@dataclass
class Config:
    """List environments, or check that one of your own fits.

    `list` prints the ids that `make` knows. `check` plays a few seeded episodes with random
    actions, says in sentences what does not fit, and then ends with exit code 2. `setup spot`
    fetches Spot's model and meshes (59 MB) and makes the coarse ones that are drawn.
    """

    action: Positional[Literal["list", "check", "setup"]]
    """What to do."""
    env: Positional[str] = ""
    """For check: MODULE:ENV (a class or a function), or an id. For setup: spot."""
    options: dict[str, bool | int | float | str] = field(default_factory=dict)
    """The environment's options, as NAME VALUE pairs; fps, size and time_limit are among them."""
    episodes: int = 3
    """Episodes to play."""
    steps: int = 200
    """Most steps of an episode that does not end by itself."""
    seed: int = 0
    """The first episode's seed; the others follow."""
    wheels: Path | None = None
    """For setup: a folder with the packages' wheels, where there is no network."""
    json: bool = False
    """Print JSON instead of words."""


def main(config: Config) -> int:
    """Run one action; 2 when an environment does not fit."""
    actions = {"list": _list, "check": _check, "setup": _setup}
    return actions[config.action](config)


def _list(config: Config) -> int:
    from foresight.envs.registry import env_ids

    found = [name for name in env_ids() if config.env in name]
    print(json.dumps(found, indent=1) if config.json else "\n".join(found))
    return 0


def _check(config: Config) -> int:
    from foresight.envs.check import check, fits
    from foresight.envs.registry import EnvConfig

    if not config.env:
        raise ForesightError(
            "No environment to check: name it as MODULE:ENV, or by an id of `foresight envs list`."
        )
    wanted = EnvConfig.of(config.env, **config.options)
    findings = check(wanted, config.episodes, config.steps, config.seed)
    good = fits(findings)
    if config.json:
        print(json.dumps({"fits": good, "findings": [asdict(f) for f in findings]}, indent=1))
    else:
        for finding in findings:
            print(f"{finding.verdict:<5}  {finding.text}")
        faults = sum(finding.verdict == "fault" for finding in findings)
        count = "one thing does" if faults == 1 else f"{faults} things do"
        print(f"{config.env} fits." if good else f"{config.env}: {count} not fit.")
    return 0 if good else DOES_NOT_FIT


def _setup(config: Config) -> int:
    from foresight.envs.spot.assets import set_up

    if config.env.partition("/")[0] != "spot":
        raise ForesightError(
            f"There is nothing to set up for {config.env!r}: expected spot; what others need comes "
            "with pip or with a script (docs/README.md)."
        )
    print(f"Spot's model and meshes are in {set_up(config.wheels)}.")
    return 0
