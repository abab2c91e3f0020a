"""Recordings of LeRobot's own recorder, and of a robot of one's own: record, train, serve, act."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from foresight import cli
from foresight.core.checkout import ROOT
from foresight.core.errors import ForesightError
from foresight.core.files import read_json
from foresight.core.observation import Observation
from foresight.core.progress import console
from foresight.data.dataset import Dataset
from foresight.evaluation.results import Result, load, make_result
from foresight.evaluation.statistics import Row, wilson_interval
from foresight.policies.chunk.policy import ChunkPolicy
from foresight.serving.client import RemotePolicy
from studies.own_data import robot
from studies.registry import Request

RECORDED = ("two-cameras", "many-short-episodes", "images-in-parquet")
"""Datasets that LeRobot 0.4.4 wrote, of three kinds."""
OWN = "own-robot"
ENV = f"{robot.__name__}:{robot.Pointer.__name__}"
LEROBOT = ROOT / ".venv-lerobot" / "bin" / "python"
"""Where LeRobot is, if `make test-lerobot` was run."""
STEPS = 24
"""Decisions that are asked of a served policy."""


@dataclass(frozen=True)
class OwnDataConfig:
    """Sizes."""

    datasets: tuple[str, ...] = (*RECORDED, OWN)
    episodes: int = 100
    """Demonstrations of the own robot."""
    updates: int = 400
    """Of a policy for the small recordings."""
    own_updates: int = 3000
    """Of the own robot's policy."""
    seeds: int = 50
    """Starts of the own robot."""
    rate: float = 20.0
    """Ticks a second at which its policy is driven, twice its own rate."""
    seconds: float = 600.0
    """For how long."""


def presets() -> dict[str, OwnDataConfig]:
    """The named sizes."""
    smoke = OwnDataConfig(("many-short-episodes", OWN), 4, 4, 4, 2, seconds=3)
    return {"full": OwnDataConfig(), "smoke": smoke}


def reproduce(request: Request) -> Result:
    """Go the road with every dataset.

    Rows: ``check`` (0: no damage was found), ``held-out-error`` of policy and baselines (in
    deviations of the actions), ``served-difference`` (largest one between actions that came over
    the network and the checkpoint's own), ``lerobot-difference`` (to those of LeRobot's own
    programs), episodes of the own robot, and ``loop:…`` of its policy at a fixed rate.

    Raises:
        ForesightError: a step of the road failed.
    """
    config = presets()["smoke" if request.smoke else "full"]
    rows: list[Row] = []
    notes: list[str] = []
    for name in config.datasets:
        console.print(f"[bold]{name}[/]")
        data, run = request.folder / name / "data", request.folder / name / "policy"
        if name == OWN:
            _verb("collect", ENV, "--policies", "pointer-demonstrator", "--episodes",
                  config.episodes, "--out", data, "--workers", 1)  # fmt: skip
        else:
            data = ROOT / "tests" / "data" / "lerobot" / name
        rows += _road(config, name, data, run, request)
        rows += _in_lerobot(name, data, run, notes)
        if name == OWN:
            rows += _acted(config, run, data, request.folder / name)
            rows += _driven(config, run, request.folder / name / "drive.json")
    about = {**asdict(config), "notes": notes}
    return make_result("own-data", about, "own", rows, _rates(rows))


def _verb(*words: object) -> None:
    """A public command."""
    if status := cli.main([str(word) for word in words]):
        raise ForesightError(
            f"foresight {' '.join(map(str, words))} ended with {status}: see above."
        )


def _road(
    config: OwnDataConfig, name: str, data: Path, run: Path, request: Request
) -> Iterator[Row]:
    status = cli.main(["data", "check", str(data)])
    yield {"measure": "check", "task": name, "value": float(status)}
    updates = config.own_updates if name == OWN else config.updates
    _verb("train", data, "--out", run, "--policy", "chunk", "--encoder", request.encoder,
          "--cache", request.folder / "cache",
          "--chunk.fit.updates", updates, "--chunk.fit.epochs", min(10, updates))  # fmt: skip
    for method, found in read_json(run / "held-out.json")["methods"].items():
        yield {"measure": "held-out-error", "task": name, "condition": method.replace(" ", "-"),
               "value": found["mean"]}  # fmt: skip
    yield {"measure": "served-difference", "task": name, "value": _served(run, Dataset.open(data))}


def seen(dataset: Dataset, episode: int) -> list[Observation]:
    """What the robot saw in an episode."""
    found = dataset.episode(episode)
    return [
        Observation({name: f[t] for name, f in found.images.items()}, found.state[t], found.task)
        for t in range(min(STEPS, len(found.action)))
    ]


def _served(run: Path, dataset: Dataset) -> float:
    """Largest difference between actions over the network and the policy's own."""
    own, apart = ChunkPolicy.load(run), 0.0
    with served(run) as address, RemotePolicy(address, patience=120) as remote:
        moments = seen(dataset, 0)
        remote.reset(moments[0], seed=0)
        own.reset(moments[0], 0)
        for moment in moments:
            apart = max(apart, float(np.abs(remote.act(moment) - own.act(moment)).max()))
    return apart


@contextmanager
def served(run: Path) -> Iterator[str]:
    """``foresight serve`` as a process of its own; its address."""
    words = [sys.executable, "-m", "foresight", "serve", str(run), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        try:
            if "ws://" not in line:
                raise ForesightError(f"foresight serve {run} said {line!r}: see above.")
            yield "ws://" + line.split("ws://")[1].strip()
        finally:
            server.terminate()


def _acted(config: OwnDataConfig, run: Path, data: Path, folder: Path) -> list[Row]:
    """The own robot's episodes: the policy over the network, and what needs no eyes."""
    rows: list[Row] = []
    common = ["--env", ENV, "--seeds", config.seeds, "--workers", 1]
    with served(run) as address:
        _verb("evaluate", f"remote:{address}", *common, "--cameras", "top", "side", "--baselines",
              "zero", "random", "--out", folder / "served.json")  # fmt: skip
    for name, what, more in (
        ("local", run, ()),
        ("eyes-shut", run, ("--chunk.blind",)),
        ("replay", f"replay:{data}", ()),
    ):
        _verb("evaluate", what, *common, *more, "--baselines", "--out", folder / f"{name}.json")
    for name in ("served", "local", "eyes-shut", "replay"):
        for row in load(folder / f"{name}.json").rows:
            trivial = row["condition"] in ("zero", "random")
            rows.append({**row, "task": OWN, "condition": row["condition"] if trivial else name})
    return rows


def _driven(config: OwnDataConfig, run: Path, report: Path) -> Iterator[Row]:
    """The policy at a fixed rate: ticks, those that were missed, how late actions came."""
    if not report.exists():
        _verb("drive", run, "--env", ENV, "--rate", config.rate, "--seconds", config.seconds,
              "--out", report)  # fmt: skip
    found = read_json(report)
    for name in ("ticks", "missed", "held", "decisions"):
        yield {"measure": f"loop:{name}", "task": OWN, "value": float(found[name])}
    for name in ("late_ms", "decision_ms", "delay_ticks"):
        for part, value in found[name].items():
            yield {"measure": f"loop:{name}:{part}", "task": OWN, "value": float(value)}


def _in_lerobot(name: str, data: Path, run: Path, notes: list[str]) -> list[Row]:
    """The same episode through LeRobot's reader, the exported policy and its processors."""
    if not LEROBOT.exists():
        note = "LeRobot is not installed here (`make test-lerobot` does it): not compared with it."
        if note not in notes:
            notes.append(note)
        return []
    script = Path(__file__).with_name("in_lerobot.py")
    words = [LEROBOT, script, data.resolve(), run.resolve(), STEPS]
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ForesightError(f"LeRobot and {name}: {done.stderr.strip().splitlines()[-1]}")
    value = json.loads(done.stdout.splitlines()[-1])["difference"]
    return [{"measure": "lerobot-difference", "task": name, "value": value}]


def _rates(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Rates of success of the own robot, Wilson intervals."""
    episodes = [row for row in rows if "measure" not in row]
    found = {}
    for name in dict.fromkeys(row["condition"] for row in episodes):
        won = [bool(row["success"]) for row in episodes if row["condition"] == name]
        found[f"success/{name}/{OWN}"] = wilson_interval(sum(won), len(won)).as_dict()
    return found
