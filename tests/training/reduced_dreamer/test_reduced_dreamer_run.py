"""The loop of the reduced Dreamer: killed at any moment it ends as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace

import pytest
from safetensors.torch import load_file

from foresight.core.errors import ForesightError
from foresight.core.metrics import read_metrics
from foresight.envs.registry import EnvConfig
from foresight.policies.reduced import ReducedFactory
from foresight.rollout import run_episodes
from foresight.training.reduced_dreamer import DreamerConfig, DreamerTrainer
from foresight.training.reduced_dreamer import run as run_module
from line_world import dreamer

FALLS = EnvConfig("line_world:LineWorld", options=(("falls", True),))
CONFIG = dreamer(
    72,
    env=FALLS,
    parallel=2,
    random_rounds=2,
    learner=DreamerConfig(batch=4, length=4, ratio=2, horizon=2, dreams=8),
)


def content(folder):
    """Everything that a run leaves but what it took."""
    log = [
        {k: v for k, v in line.items() if not k.startswith(("seconds/", "peak-gib/"))}
        for line in read_metrics(folder / "metrics.jsonl")
    ]
    state = load_file(folder / "learning.safetensors")  # the order of its header is not fixed
    kept = [(folder / name).read_bytes() for name in ("config.json", "model.safetensors")]
    return kept, {name: value.numpy().tobytes() for name, value in state.items()}, log


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dreamer")
    DreamerTrainer(CONFIG, folder).run()
    return folder


def test_it_learns_at_most_as_often_as_it_was_told(undisturbed):
    log = read_metrics(undisturbed / "metrics.jsonl")
    assert log[0]["updates"] == 0 and log[-1]["updates"] > 0
    assert all(line["updates"] <= line["decisions"] * 2 / 16 for line in log)
    assert log[-1]["decisions"] >= 72 > log[-2]["decisions"]
    episodes = [load_file(path) for path in sorted((undisturbed / "episodes").iterdir())]
    assert any(bool(each["terminated"].any()) for each in episodes)
    assert sum(int(each["lengths"].sum()) for each in episodes) == log[-1]["decisions"]


class Killed(BaseException):
    """Nobody catches this."""


@pytest.mark.parametrize(("name", "after"), [("save_file", 4), ("save_training", 2)])
def test_a_killed_run_ends_as_it_would_have(undisturbed, tmp_path, monkeypatch, name, after):
    calls, real = [], getattr(run_module, name)

    def deadly(*args):
        calls.append(args)
        if len(calls) == after:
            raise Killed
        return real(*args)

    monkeypatch.setattr(run_module, name, deadly)
    with pytest.raises(Killed):
        DreamerTrainer(CONFIG, tmp_path).run()
    monkeypatch.undo()
    DreamerTrainer(CONFIG, tmp_path).run()
    assert content(tmp_path) == content(undisturbed)


def test_what_was_learned_acts_and_other_settings_are_refused(undisturbed):
    maker = ReducedFactory(str(undisturbed))
    first, again = ([one.return_ for one in run_episodes(FALLS, maker, [7, 8])] for _ in range(2))
    assert first == again
    with pytest.raises(ForesightError, match="holds a training with other settings"):
        DreamerTrainer(replace(CONFIG, seed=1), undisturbed).run()
