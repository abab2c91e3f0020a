"""What is said of models that know actions, ignore them, or know one number of them."""

from __future__ import annotations

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.diagnostics.actions import ActionPlan, Recorded, action_rows
from foresight.diagnostics.drift import Track
from foresight.evaluation.results import make_result
from foresight.report.actions import action_tables

NAMES = ("left", "right/arm")
STEPS = 20


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Mover:
    """x' = x + weights * a, where the world's weights are ones."""

    limit = None

    def __init__(self, *weights: float) -> None:
        self.weights = torch.tensor(weights)

    def open_loop(self, start, controls):
        moved = (self.weights * controls[..., :2]).cumsum(1)
        return (start[:, 0, None] + moved)[:, :, None]


def world(episodes=4, tasks=("pour",)):
    """Tracks of the world, a third number in their controls, and all that was done."""
    actions = [randn(STEPS, 2, seed=i) for i in range(episodes)]
    tracks = []
    for taken in actions:
        x = torch.cat([torch.zeros(1, 2), taken[:-1].cumsum(0)])[:, None]
        tracks.append(Track(x, x, torch.cat([taken, torch.ones(STEPS, 1)], 1)))
    told = [Recorded(taken, tasks[i % len(tasks)]) for i, taken in enumerate(actions)]
    return tracks, told


def summary(model, tracks, told, **plan):
    settings = ActionPlan(**{"horizons": (1, 4), "starts": 8, "samples": 8} | plan)
    rows = action_rows(model, tracks, range(len(tracks)), told, NAMES, settings)
    return make_result("drift", {"notes": []}, "none", rows)


def means(result):
    return {key: entry["mean"] for key, entry in result.summary.items()}


def test_a_model_that_knows_actions():
    tracks, told = world()
    result = summary(Mover(1, 1), tracks, told)
    found = means(result)
    for h in ("h1", "h4"):
        assert found[f"skill/{h}"] == pytest.approx(1, abs=1e-5)
        assert found[f"shuffled-actions:skill/{h}"] < 0.5
        for kind in ("drawn", "others"):
            assert found[f"{kind}:action-rank/{h}"] == 0
            assert found[f"{kind}:action-top1/{h}"] == 1
        assert found[f"drawn:action-top1-chance/{h}"] == pytest.approx(1 / 9)
        assert found[f"others:action-top1-chance/{h}"] == pytest.approx(1 / 4)
    assert result.summary["skill/h1"]["n"] == 4
    first, sensitivity, importance = action_tables(result)
    assert [row[0].text for row in first.rows] == ["1", "4"]
    for table in (sensitivity, importance):
        assert [row[0].text for row in table.rows] == ["left", "right.arm"]


def test_a_deaf_model_is_at_chance():
    tracks, told = world()
    found = means(summary(Mover(0, 0), tracks, told))
    assert found["skill/h4"] == found["shuffled-actions:skill/h4"] == 0
    for kind, count in (("drawn", 8), ("others", 3)):
        assert found[f"{kind}:action-rank/h4"] == 0.5
        assert found[f"{kind}:action-top1/h4"] == pytest.approx(1 / (count + 1))
    assert found["left:sensitivity/h1"] == found["left:importance/h1"] == 0


def test_each_number_has_its_own_say():
    tracks, told = world()
    found = means(summary(Mover(1, 0), tracks, told))
    assert found["left:sensitivity/h1"] > 0.3 and found["left:importance/h1"] > 0.1
    assert found["right.arm:sensitivity/h1"] == found["right.arm:importance/h1"] == 0
    # Heard, and taken for the opposite: sensitivity is that of one who knows, importance is not.
    wrong = means(summary(Mover(1, -1), tracks, told))
    right = means(summary(Mover(1, 1), tracks, told))
    key = "right.arm:sensitivity/h1"
    assert wrong[key] == pytest.approx(right[key], rel=1e-4)
    assert wrong["right.arm:importance/h1"] < 0.2 < right["right.arm:importance/h1"]


def test_numbers_equal_a_naive_loop_where_only_one_other_thing_was_ever_done():
    """Episode 1 does the same at every step, so that no draw leaves a choice."""
    tracks, told = world(1)
    other = torch.tensor([0.3, -0.2])
    told.append(Recorded(other.expand(STEPS, 2), "pour"))
    model = Mover(1, 0.5)
    found = means(summary(model, tracks, told, horizons=(3,), starts=100))
    x, taken = tracks[0].features[:, 0], told[0].actions

    def ahead(start, actions):
        return x[start] + (actions * model.weights).sum(0)

    error = still = moved = swapped = rank = exchanged = 0.0
    for start in range(STEPS - 3):
        shown, truth = taken[start : start + 3], x[start + 3]
        mixed = torch.stack([shown[:, 0], other[1].expand(3)], 1)
        mine = (ahead(start, shown) - truth).abs().mean()
        theirs = (ahead(start, other.expand(3, 2)) - truth).abs().mean()
        error, exchanged = error + mine, exchanged + theirs
        still += (x[start] - truth).abs().mean()
        moved += (ahead(start, mixed) - ahead(start, shown)).abs().mean()
        swapped += (ahead(start, mixed) - truth).abs().mean()
        rank += float(theirs < mine) / (STEPS - 3)
    expected = {
        "skill/h3": 1 - error / still,
        "shuffled-actions:skill/h3": 1 - exchanged / still,
        "drawn:action-rank/h3": rank,
        "others:action-rank/h3": rank,
        "right.arm:sensitivity/h3": moved / still,
        "right.arm:importance/h3": swapped / error - 1,
    }
    for key, value in expected.items():
        assert found[key] == pytest.approx(float(value), rel=1e-4), key


def test_others_are_of_the_same_task_and_time():
    tracks, told = world(2)
    told = [Recorded(one.actions, "pour") for one in told]
    told[1] = Recorded(told[0].actions, "pour")  # who did the same at the same time is as near
    found = means(summary(Mover(1, 1), tracks[:1], told))
    assert found["others:action-rank/h4"] == 0.5
    alone = means(summary(Mover(1, 1), *world(2, tasks=("pour", "wipe"))))
    assert "drawn:action-rank/h4" in alone and "others:action-rank/h4" not in alone


def test_the_only_episode_there_is_and_still_ones():
    tracks, told = world(1)
    found = means(summary(Mover(1, 1), tracks, told))
    assert found["drawn:action-rank/h1"] < 0.2 and "others:action-rank/h1" not in found
    still = Track(torch.zeros(STEPS, 1, 2), torch.zeros(STEPS, 1, 2), tracks[0].controls)
    found = means(summary(Mover(1, 1), [still], told))
    assert "skill/h1" not in found and "drawn:action-rank/h1" in found


def test_bad_requests():
    tracks, told = world(2)
    with pytest.raises(ForesightError, match="among 0 from"):
        summary(Mover(1, 1), tracks, told, samples=0)
    with pytest.raises(ForesightError, match="No episode is long enough"):
        summary(Mover(1, 1), tracks, told, horizons=(STEPS,))
    with pytest.raises(ForesightError, match="not finite under other actions"):
        summary(Mover(torch.nan, 1), tracks, told)
