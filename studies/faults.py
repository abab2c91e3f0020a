"""Recipe ``faults``: kill -9 learn, collect, encode and train at random moments; compare."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from safetensors import safe_open

from foresight.cli import main
from foresight.core.errors import ForesightError
from foresight.core.progress import track
from foresight.data.dataset import Dataset
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.perception.bundled import FORESIGHT_SMALL
from studies.registry import Request

LEARNED = "point_mass-easy"
"""Learned by acting, as small as can be."""


@dataclass(frozen=True)
class FaultsConfig:
    """How often to kill and how long the victims run."""

    moments: int = 10
    """Kills of each stage that reads or writes a dataset."""
    learn_moments: int = 30
    """Kills of learning by acting, which has the most to lose."""
    episodes: int = 16
    """Episodes of the dataset."""
    steps: int = 100
    """Steps of each episode."""
    epochs: int = 10
    """Epochs of the training."""
    seed: int = 0
    """Seeds the moments."""
    encoder: str = FORESIGHT_SMALL
    """The eyes of what learns, encodes and trains."""
    workers: int | None = None
    """Processes that collect; one a core if not given."""


@dataclass(frozen=True)
class Victim:
    """One stage: its command, and what of its output must survive."""

    name: str
    words: Callable[[Path], list[str]]
    """The command line that writes into a folder."""
    finished: Callable[[Path], int]
    """How many episodes or epochs of the folder are finished."""
    content: Callable[[Path], str]
    """Digest of the final data."""


def presets() -> dict[str, FaultsConfig]:
    """The named sizes."""
    smoke = FaultsConfig(moments=1, learn_moments=1, episodes=4, steps=40, epochs=3)
    return {"full": FaultsConfig(), "smoke": smoke}


def reproduce(request: Request) -> Result:
    """Kill and resume every stage."""
    config = replace(presets()[request.preset], encoder=request.encoder, workers=request.workers)
    return run(config, request.folder)


def run(config: FaultsConfig, folder: Path) -> Result:
    """Kill every stage at random moments, each time in a fresh folder.

    A row says for each kill how much was finished before it, how much was still there afterwards,
    and whether the resumed run ended at the data of an undisturbed one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    base = folder / "undisturbed"
    rng = np.random.default_rng(config.seed)
    rows: list[Row] = []
    for victim in victims(config, base):
        work = _undisturbed(victim, base)
        moments = config.learn_moments if victim.name == "learn" else config.moments
        for index in track(range(moments), f"kill {victim.name}"):
            delay = float(rng.uniform(0, work))
            rows += _kill_once(victim, base, folder / f"{victim.name}-{index}", delay)
            shutil.rmtree(folder / f"{victim.name}-{index}")
    return make_result("faults", config, "none", rows)


def victims(config: FaultsConfig, base: Path) -> list[Victim]:
    """The stages; encode and train read the undisturbed run's input."""
    collect = ["collect", "reacher-easy", "--policies", "eps:0.3:expert"]
    collect += ["--episodes", str(config.episodes), "--steps", str(config.steps)]
    collect += [] if config.workers is None else ["--workers", str(config.workers)]
    data, cache = str(base / "data"), str(base / "cache")
    schedule = ["--train.fit.epochs", str(config.epochs), "--train.fit.batch", "64"]
    learn = ["learn", LEARNED, "--preset", "smoke", "--seeds", "1", "--baselines", "zero"]
    eyes = ["--encoder", config.encoder]
    return [
        Victim(
            "learn",
            lambda out: [*learn, *eyes, "--workers", "1", "--run", str(out / "learn")],
            lambda out: _episodes(out / "learn" / LEARNED / "data"),
            lambda out: (
                _digest(out / "learn" / LEARNED / "data")
                + _digest(out / "learn" / LEARNED / "model", ("model.safetensors",))
            ),
        ),
        Victim(
            "collect",
            lambda out: [*collect, "--out", str(out / "data")],
            lambda out: _episodes(out / "data"),
            lambda out: _digest(out / "data"),
        ),
        Victim(
            "encode",
            lambda out: ["encode", data, *eyes, "--cache", str(out / "cache")],
            lambda out: _encoded(out / "cache"),
            lambda out: _digest(out / "cache"),
        ),
        Victim(
            "train",
            lambda out: [
                "train",
                data,
                *eyes,
                "--cache",
                cache,
                "--out",
                str(out / "model"),
                *schedule,
            ],
            lambda out: _epochs(out / "model"),
            lambda out: _digest(out / "model", ("model.safetensors", "horizon_errors.json")),
        ),
    ]


def _undisturbed(victim: Victim, base: Path) -> float:
    """Run to the end; the seconds from the first sign of work to the end."""
    process = _start(victim.words(base))
    _await_work(process, base, victim)
    started = time.perf_counter()
    if (code := _ended(process)) != 0:
        raise ForesightError(
            f"foresight {' '.join(victim.words(base))} ended with exit code {code}: "
            "run it by hand to see why."
        )
    return time.perf_counter() - started


def _kill_once(victim: Victim, base: Path, out: Path, delay: float) -> list[Row]:
    process = _start(victim.words(out))
    _await_work(process, out, victim)
    time.sleep(delay)
    if process.is_alive() and process.pid:
        with contextlib.suppress(ProcessLookupError):  # it ended in this very moment
            os.killpg(process.pid, signal.SIGKILL)
    process.join()
    before = victim.finished(out)
    code = _ended(_start(victim.words(out)))
    after = victim.finished(out)
    identical = code == 0 and victim.content(out) == victim.content(base)
    row: Row = {"task": victim.name, "kill_after_seconds": delay, "finished_before": before}
    return [
        row | {"measure": "finished-kept", "value": float(after >= before), "finished": after},
        row | {"measure": "identical", "value": float(identical), "exit_code": code},
    ]


def _start(words: Sequence[str]) -> BaseProcess:
    """The command in a process of its own, forked from one that has imported and done nothing."""
    context = multiprocessing.get_context("forkserver")
    # What the first optimiser imports, too.
    preload = ["foresight.pipelines.learn", "foresight.cli.train", "torch._dynamo"]
    context.set_forkserver_preload(preload)
    process = context.Process(target=_command, args=(list(words),))
    process.start()
    return process


def _command(words: list[str]) -> None:
    os.setsid()  # so that its workers die with it
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.exit(main(words))


def _ended(process: BaseProcess) -> int:
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _await_work(process: BaseProcess, out: Path, victim: Victim) -> None:
    """Wait until the stage has written something: start-up is not worth killing."""
    folders = {"collect": "data", "encode": "cache", "train": "model", "learn": "learn"}
    folder = out / folders[victim.name]
    while process.is_alive() and not (folder.exists() and any(folder.iterdir())):
        time.sleep(0.01)


def _episodes(path: Path) -> int:
    try:
        return len(Dataset.open(path))
    except ForesightError:
        return 0  # killed before the dataset was there


def _encoded(root: Path) -> int:
    return sum(int(np.count_nonzero(np.fromfile(p, np.uint8))) for p in root.rglob("done.bin"))


def _epochs(folder: Path) -> int:
    path = folder / "training.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        return len(json.loads(file.metadata()["history"]))


def _digest(folder: Path, names: Sequence[str] = ()) -> str:
    """Hash over the names and bytes of the files that make up the data."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if names and path.name not in names:
            continue
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
