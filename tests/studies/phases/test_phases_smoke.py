"""Every phase on the real path with the smallest sizes, through the command line."""

from __future__ import annotations

import dataclasses

import pytest

from foresight import cli
from foresight.evaluation.results import load
from studies.claims import judge
from studies.phases import PHASES, presets
from studies.phases.multistep import starved_updates
from studies.phases.search import shooting
from studies.sources import SOURCES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_eyes):
    """Runs a phase in a folder that all share and gives its result and what was printed."""
    folder = tmp_path_factory.mktemp("phases")

    def phase(name, capsys):
        words = ["reproduce", name, "--preset", "smoke", "--run", str(folder), "--workers", "1"]
        words += ["--encoder", tiny_eyes]
        assert cli.main(words) in (0, None)
        return load(folder / f"{name}.json"), capsys.readouterr().out

    return phase


@pytest.mark.parametrize("name", PHASES)
def test_a_phase_answers_every_figure_and_every_conclusion(name, run, capsys):
    result, printed = run(name, capsys)
    source = SOURCES[name]
    lost = {"@10": "@5", "spearman-h8": "spearman-h4"}  # the smoke run's horizon is shorter
    for item in (*source.figures, *source.claims):
        key = item.key
        if key.partition(":")[0] in source.reads:  # of another experiment
            continue
        for long, short in lost.items():
            key = key.replace(long, short)
        if not key.startswith("constant/"):  # the search of a constant takes too long for a test
            assert key in result.summary or "minus constant" in key, key
    decided = [claim for claim in source.claims if judge(claim, result.summary)]
    assert printed.count("for the conclusion it has to be") == len(decided)
    assert "conclusions put to the test" in printed
    reported = {f.what: f.source for f in source.figures if f.source is not None}
    assert result.config["source"] == reported


def test_searches_and_updates_are_matched():
    for sizes in presets().values():
        cem, rival = sizes.planner, shooting(sizes.planner)
        assert rival.samples == cem.samples * cem.iterations
        assert dataclasses.replace(rival, solver="cem", samples=cem.samples) == cem
    assert starved_updates(31_000) == 1_050
    assert starved_updates(3) == 1


def test_the_full_preset_learns_from_as_many_steps_as_the_sources():
    full = presets()["full"]
    assert full.episodes * 200 * (1 - full.validation) == 80_000
    assert full.large * 200 == 1_000_000
    assert full.seeds >= 20


def test_only_phases_have_a_short_preset(capsys):
    assert cli.main(["reproduce", "faults", "--preset", "short"]) == 2
    assert "faults has no preset short" in capsys.readouterr().err
