"""Recipe ``open-loop``: how far ahead learned agents' models see more than no change at all.

Each agent plays episodes that nothing has learned from, with more and less noise and at random.
From beginnings in them its model imagines what its own state will be under the actions that follow,
and is never told what was seen in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from foresight.core.progress import console
from foresight.diagnostics.actions import Recorded
from foresight.diagnostics.drift import HORIZONS, Track
from foresight.diagnostics.forecasters import WorldModelForecaster
from foresight.diagnostics.judge import (
    L1,
    LINEAR,
    MODEL,
    NONE,
    PERSISTENCE,
    SHUFFLED,
    Judgement,
    JudgePlan,
    judge,
)
from foresight.diagnostics.linear import LinearConfig, LinearModel
from foresight.envs.dmc.tasks import MEASURED_TASKS, canonical
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary
from foresight.planning.config import MPCConfig
from foresight.training.run_data import load_replay
from studies.calibration import SMALL
from studies.ensemble_errors.held_out import HeldOutConfig
from studies.ensemble_errors.imagined_errors import HeldOut
from studies.learned import Learned, models_of, named
from studies.registry import Request

SMOKE_TASK = "point_mass-easy"
RIVALS = (PERSISTENCE, LINEAR, SHUFFLED, NONE)


@dataclass(frozen=True)
class OpenLoopConfig:
    """Which agents, on how many episodes."""

    tasks: tuple[str, ...] = tuple(MEASURED_TASKS)
    """Task ids, each learned before."""
    horizons: tuple[int, ...] = HORIZONS
    """Decisions ahead."""
    starts: int = 8
    """Beginnings in each episode."""
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    """The episodes."""
    search: MPCConfig = field(default_factory=MPCConfig)
    """How the agent plans in them."""
    linear: LinearConfig = field(default_factory=lambda: LinearConfig(components=128))
    """The linear model beside it, fitted on the agent's own episodes."""
    training: int = 200
    """Most of those, evenly spread."""


def presets() -> dict[str, OpenLoopConfig]:
    """The named sizes."""
    smoke = OpenLoopConfig(
        tasks=(SMOKE_TASK,),
        horizons=(1, 3),
        starts=2,
        held_out=HeldOutConfig(episodes=3, parallel=3, length=12),
        search=SMALL,
        training=4,
    )
    return {"full": OpenLoopConfig(), "smoke": smoke}


def run(config: OpenLoopConfig, learned: Sequence[Learned]) -> Result:
    """Judge every agent's model; episodes that were played are not played again.

    Rows, one for each episode: ``cos-raw``, ``cos-centred`` and ``l1`` of the task
    ``<task>@h<decisions>``, under the conditions ``model``, ``persistence``, ``mean``, ``linear``,
    ``linear-no-actions``, ``linear-axes``, ``shuffled-actions`` and ``no-actions``. The summary
    adds ``skill/<task>@h<decisions>`` (``skill:<condition>/…``), the share of persistence's error
    in centred cosine that is removed, and ``l1-minus-<rival>/…``, paired by episode: below 0 the
    model errs less.

    Args:
        config: sizes.
        learned: the agents.

    Raises:
        ForesightError: episodes too few or too short, or a model that does not fit.
    """
    rows: list[Row] = []
    summary: Summary = {}
    for one in learned:
        console.print(f"[bold]{one.task}[/]: imagine held-out episodes")
        judgement = judged(config, one)
        rows += judgement_rows(judgement, one.task)
        summary |= compared(judgement, one.task)
    settings = {**asdict(config), "models": named(learned)}
    return make_result("open-loop", settings, config.held_out.protocol, rows, summary)


def judged(config: OpenLoopConfig, one: Learned) -> Judgement:
    """The model of one agent beside what needs none, in units of its state."""
    replay = load_replay(one.model, one.checkpoint)
    step = -(-len(replay) // config.training)
    training = [
        track_of(HeldOut(replay.states[rows], replay.actions[rows]))
        for rows in map(replay.rows, range(0, len(replay), step))
    ]
    longest = max(len(one.controls) for one in training) - 1
    horizons = [h for h in config.horizons if h <= longest]
    linear = LinearModel.fit(training, horizons, one.model.config.actions, config.linear)
    held_out = one.held_out(config.held_out, config.search)
    return judge(
        WorldModelForecaster(one.model),
        [track_of(episode) for episode in held_out],
        range(len(held_out)),
        [Recorded(episode.actions) for episode in held_out],
        linear.mean,
        linear,
        plan=JudgePlan(horizons, config.starts),
    )


def track_of(episode: HeldOut) -> Track:
    """An episode of which the model's own state is all that is compared."""
    steps = min(len(episode.z), len(episode.actions))
    z = episode.z[:steps].float()
    return Track(z, z[:, None], episode.actions[:steps].float())


def judgement_rows(judgement: Judgement, task: str) -> Iterator[Row]:
    """The judgement's rows, horizon by horizon; the model is a condition, too."""
    rows = judgement.rows()
    for h in judgement.horizons:
        for row in rows:
            if row["task"] == f"h{h}":
                yield {"condition": MODEL, **row, "task": f"{task}@h{h}"}


def compared(judgement: Judgement, task: str) -> Summary:
    """Skill of everything, and the model's error less that of each rival."""
    found: Summary = {}
    for h in judgement.horizons:
        for condition in judgement.conditions:
            skill = judgement.skill(condition, h)
            name = "skill" if condition == MODEL else f"skill:{condition}"
            if skill is not None:
                found[f"{name}/{task}@h{h}"] = skill.as_dict()
        for rival in RIVALS:
            less = judgement.difference(MODEL, rival, h, L1)
            found[f"{L1}-minus-{rival}/{task}@h{h}"] = less.as_dict()
    return found


def reproduce(request: Request) -> Result:
    """Judge the agents that are asked for; others in the result file stay.

    Raises:
        ForesightError: as `run`; there is no model of a task, or the file holds something else.
    """
    config = replace(presets()[request.preset], **request.given("tasks"))
    held_out = replace(config.held_out, **request.given("episodes"))
    config = replace(config, tasks=tuple(map(canonical, config.tasks)), held_out=held_out)
    learned = models_of(request, config.tasks)
    before = None if request.smoke else earlier(request.target, "open-loop", "seed200")
    return beside(run(config, learned), before)
