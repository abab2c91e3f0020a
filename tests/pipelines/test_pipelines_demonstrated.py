"""Tasks that are shown: from nothing to rates of success beside what needs no eyes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig
from foresight.evaluation.results import load
from foresight.evaluation.statistics import wilson_interval
from foresight.pipelines import demonstrated
from foresight.pipelines.demonstrated import (
    LEARNED,
    UNLEARNED,
    DemonstratedConfig,
    measure,
    presets,
    successes,
    suite_of,
    training_of,
)
from studies import metaworld

TASKS = ("metaworld/reach", "metaworld/button-press")
PAGE = Path(__file__).parents[2] / "docs" / "metaworld.md"


def test_rates_and_differences_are_those_of_the_rows():
    won = {"chunk": [1, 1, 1, 0], "blind": [0, 1, 0, 0], "replay": [1, 1, 0, 0]}
    rows = [
        {
            "condition": name,
            "suite": "metaworld",
            "task": f"metaworld:{task}",
            "seed": seed,
            "success": bool(each[i]),
        }
        for name, each in won.items()
        for i, (task, seed) in enumerate([("push", 0), ("push", 1), ("reach", 0), ("reach", 1)])
    ]
    found = successes(rows)
    assert found["success/chunk/metaworld"] == wilson_interval(3, 4).as_dict()
    assert found["success/chunk/metaworld/push"] == wilson_interval(2, 2).as_dict()
    assert found["success/blind/metaworld/reach"] == wilson_interval(0, 2).as_dict()
    assert found["chunk-minus-blind/metaworld"]["mean"] == 0.5
    assert found["chunk-minus-replay/metaworld"]["mean"] == 0.25
    assert "chunk-minus-random-eyes/metaworld" not in found


@pytest.mark.parametrize(
    ("env", "suite"),
    [
        (EnvConfig("metaworld/push"), "metaworld"),
        (EnvConfig("metaworld/push", "mt500"), "metaworld-mt500"),
        (EnvConfig("libero/spatial/0", "fifty"), "libero_spatial"),
        (EnvConfig("libero/10/0", "wide"), "libero_10-widened"),
        (EnvConfig("libero/spatial-swap/0"), "libero_spatial-swap"),
    ],
)
def test_suites_are_named_as_their_benchmarks_name_them(env, suite):
    assert suite_of(env) == suite


def test_rivals_differ_in_one_thing():
    full = presets(TASKS)["full"]
    plain, blind, flow = (training_of(full, name) for name in ("chunk", "blind", "flow"))
    assert plain == full.training
    assert blind.network.blind and not plain.network.blind
    assert flow.network.head == "flow" and plain.network.head == "l1"
    assert {blind.fit, flow.fit} == {plain.fit}
    assert set(metaworld.presets()["full"].policies) <= {*LEARNED, *UNLEARNED}


@pytest.mark.slow
def test_one_command_goes_from_nothing_to_a_page(tmp_path, monkeypatch, tiny_eyes):
    line = f"foresight run {' '.join(TASKS)} --preset smoke"
    assert f"\n{line}\n" in PAGE.read_text()  # whose own test leaves it to this one
    words = [*line.split()[1:], "--out", str(tmp_path), "--workers", "1", "--encoder", tiny_eyes]
    assert cli.main(words) == 0
    config, result = presets(TASKS)["smoke"], load(tmp_path / "result.json")
    config = replace(config, encoder=tiny_eyes)
    assert {row["condition"] for row in result.rows} == set(config.policies)
    assert len(result.rows) == len(config.policies) * len(TASKS) * config.seeds
    assert result.summary["success/zero/metaworld"]["n"] == len(TASKS) * config.seeds
    data = Dataset.open(tmp_path / "demonstrations")
    assert len(data) == len(TASKS) * config.episodes and len(data.tasks) == len(TASKS)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert len([*(tmp_path / "videos").glob("metaworld-*-seed-0.mp4")]) == len(TASKS)
    monkeypatch.delattr(demonstrated, "plan_successful")
    assert measure(config, tmp_path) == result.rows  # nothing finished is run again, or tried
    brief = measure(replace(config, brief=("zero",), unseen=TASKS[:1]), tmp_path)
    played = Counter(row["condition"] for row in brief)
    assert played.pop("zero") == (len(TASKS) + 1) * -(-config.seeds // 2)
    assert set(played.values()) == {(len(TASKS) + 1) * config.seeds}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "metaworld/push", "reacher-easy"], "2 tasks were named"),
        (["run", "metaworld/push", "metaworld/reach", "--agent", "online"], "2 tasks were named"),
        (["run", "metaworld/push", "--steps", "100"], "--steps is a setting of the agent"),
        (["run", "point_mass-hard", "--agent", "demonstrated"], "is for tasks of Meta-World"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(words, told, tmp_path, capsys):
    assert cli.main([*words, "--out", str(tmp_path)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_an_unknown_policy_is_named():
    with pytest.raises(ForesightError, match="'dreamer' is none"):
        DemonstratedConfig(TASKS, policies=("dreamer",))
