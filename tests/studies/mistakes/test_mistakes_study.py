"""The study of mistakes: which policies it compares, what it counts, and a run of the whole."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.envs.factories import LIBERO, METAWORLD
from foresight.evaluation.results import load
from foresight.evaluation.statistics import paired_difference, wilson_interval
from foresight.policies.chunk.policy import ChunkActing
from studies.mistakes.study import Learner, costs, measure, presets
from studies.mistakes.variants import HEAD, MISTAKES, RIGHT, VARIANTS, chosen

TASK = ("metaworld/button-press",)
PAGE = Path(__file__).parents[3] / "docs" / "demonstrations.md"


def names(found):
    return [each.name for each in found]


def test_there_are_nine_and_each_is_compared_with_a_right_one():
    assert len(MISTAKES) == 9
    for name in MISTAKES:
        right = VARIANTS[str(VARIANTS[name].instead_of)]
        assert right.instead_of is None and right.acts is None
    assert list(VARIANTS) == [*dict.fromkeys(VARIANTS)]


def test_the_right_ones_come_along_and_what_a_suite_cannot_show_stays_out():
    assert names(chosen(("noise",), TASK)) == ["unit-norm", "noise"]
    full = presets()["full"]
    assert all(task.startswith(METAWORLD) for task in full.shown.tasks)
    assert {*names(full.variants)} == {*VARIANTS} - {"euler", "no-states", "no-settling"}
    libero = presets("mistakes-libero")
    assert {*names(libero["full"].variants)} == {*VARIANTS}
    assert names(libero["short"].variants) == [RIGHT, "euler", "no-states", "no-settling"]
    assert libero["full"].protocol == "fifty" and libero["full"].shown.shown_from == "wide"
    assert all(task.startswith(LIBERO) for task in libero["full"].shown.tasks)
    with pytest.raises(ForesightError, match="no policy 'clumsy'"):
        chosen(("clumsy",), TASK)


def test_a_cost_is_of_the_same_starts():
    won = {RIGHT: [1, 1, 1, 0], "late": [0, 1, 0, 0], "clip": [1, 1], "noise": [0, 0]}
    rows = [
        {"condition": name, "suite": "metaworld", "task": "metaworld:push", "seed": seed,
         "success": bool(value)}
        for name, values in won.items() for seed, value in enumerate(values)
    ]  # fmt: skip
    found = costs([*rows, {"measure": "held-out-error", "condition": RIGHT, "value": 0.1}])
    assert found["success/right/metaworld"] == wilson_interval(3, 4).as_dict()
    expected = paired_difference(won[RIGHT], won["late"]).as_dict()
    assert found["right-minus-late/metaworld"] == expected and expected["mean"] == 0.5
    assert [key for key in found if "-minus-" in key] == ["right-minus-late/metaworld"]


def test_what_learns_and_acts_can_go_to_other_processes(tmp_path):
    pickle.dumps(partial(Learner, presets("mistakes-libero")["full"], tmp_path))
    for each in VARIANTS.values():
        maker = each.factory(str(tmp_path), ChunkActing(), "cpu")
        assert pickle.loads(pickle.dumps((maker, each.start))) == (maker, each.start)


@pytest.mark.slow
def test_the_whole_runs_and_nothing_finished_runs_again(tmp_path, monkeypatch, tiny_eyes):
    line = "foresight reproduce mistakes --preset smoke"
    assert f"\n{line}\n" in PAGE.read_text()  # whose own test leaves it to this one
    words = [*line.split()[1:], "--run", str(tmp_path), "--workers", "1", "--encoder", tiny_eyes]
    assert cli.main(words) in (0, None)
    config, result = presets()["smoke"], load(tmp_path / "mistakes.json")
    config = replace(config, shown=replace(config.shown, encoder=tiny_eyes))
    episodes = [row for row in result.rows if "measure" not in row]
    assert {row["condition"] for row in episodes} == {*names(config.variants)}
    assert HEAD in result.conditions
    assert len(episodes) == len(config.variants) * config.shown.seeds
    for name in ("late", "upsampled", "unnormalised"):
        assert result.summary[f"right-minus-{name}/metaworld"]["n"] == config.shown.seeds
    assert result.summary["success/right/metaworld/button-press"]["n"] == config.shown.seeds
    assert "euler, no-states, no-settling" in result.config["notes"][0]
    hashes = {row["condition"]: row["config_hash"] for row in episodes}
    assert len({*hashes.values()}) == len(hashes)
    monkeypatch.delattr("foresight.training.loop._epoch")
    monkeypatch.delattr("foresight.evaluation.assess.evaluate_policy")
    assert measure(config, tmp_path) == result.rows
