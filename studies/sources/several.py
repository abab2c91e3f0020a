"""Phases 5b to 7: reward, ensembles and three tasks."""

from __future__ import annotations

from studies.claims import Claim, Figure, Side
from studies.sources.common import (
    CARTPOLE,
    POINT_MASS,
    REACHER,
    TASKS,
    Source,
    error_key,
    figures_of_both,
    in_both_views,
    return_key,
)

PHASE_5B = Source(
    title="Phase 5b, first stage: the reward model",
    did="An MLP predicted reward with a validation error of .015 (of a variance of .20, an R² "
    "of .92) on a split that let neighbouring steps of one episode into both halves: “good "
    "discrimination”. With it in the objective nothing was earned.",
    mended="Held-out episodes; ridge regression, MLP and two-hot beside each other and beside the "
    "constant; the sources' split by frame as a condition of its own. The reward is what "
    "the planner aims at. The actor trained in imagination is not part of this phase yet.",
    figures=(
        *figures_of_both(
            "R² of the MLP, split by episode", f"{{view}}:mlp:reward-r2/{REACHER}", None
        ),
        *figures_of_both(
            "R² of the MLP, split by frame",
            f"{{view}}:mlp split by frame:reward-r2/{REACHER}",
            0.925,
        ),
        *figures_of_both("R² of ridge regression", f"{{view}}:ridge:reward-r2/{REACHER}", None),
        *figures_of_both("R² of two-hot", f"{{view}}:two-hot:reward-r2/{REACHER}", None),
        *figures_of_both("return, planning for reward", f"{{view}}:reward/{REACHER}", 0.0),
        *figures_of_both("return, planning towards the goal", f"{{view}}:goal/{REACHER}", 29.0),
    ),
    claims=(
        *in_both_views(
            "The reward model discriminates well (R² of .92 or more).",
            "R² of the MLP on held-out episodes",
            f"{{view}}:mlp:reward-r2/{REACHER}",
            "not below",
            0.92,
        ),
        *in_both_views(
            "Reward can be read from the state of a new scene at all.",
            "R² of the MLP on held-out episodes",
            f"{{view}}:mlp:reward-r2/{REACHER}",
            "above",
        ),
        *in_both_views(
            "Predicted reward does not help: planning for it earns nothing.",
            "return of planning for reward minus doing nothing",
            return_key("{view}:reward", "zero"),
            "not above",
        ),
        *in_both_views(
            "Predicted reward makes things worse than the distance to the goal.",
            "return, planning for reward minus planning towards the goal",
            return_key("{view}:reward", "{view}:goal"),
            "below",
        ),
    ),
)


def _phase_6_figures() -> tuple[Figure, ...]:
    theirs = {
        REACHER: (54.35, 0.954, 0.998, 0.595, 0.000091),
        POINT_MASS: (55.32, 0.996, 0.999, 0.625, 0.000091),
        CARTPOLE: (54.31, 0.997, 0.9998, 0.620, 0.0),
    }
    names = (
        ("norm of the mean vector", "mean:features:norm"),
        ("cosine of random pairs", "mean:features:cosine-random"),
        ("cosine of neighbours", "mean:features:cosine-consecutive"),
        ("weight cosine of five members", "mean:ensemble:weight-cosine"),
        ("reward model's validation MSE", "mean:ensemble:reward-mse"),
    )
    found = []
    for task, numbers in theirs.items():
        for (what, key), number in zip(names, numbers, strict=True):
            found.append(Figure(f"{task}: {what}", f"{key}/{task}", number))
        for what, key in (
            ("weight cosine before any training", "mean:untrained:weight-cosine"),
            ("… of the matrices after training", "mean:ensemble:weight-cosine-matrices"),
            ("reward MSE of the constant", "mean:constant:reward-mse"),
            ("cosine of random latent states, view grid", "grid:latent:cosine-random"),
            ("rank correlation of disagreement and error, 8 steps", "grid:ensemble:spearman-h8"),
        ):
            found.append(Figure(f"{task}: {what}", f"{key}/{task}"))
        for what, key in (
            ("rank correlation, state learned by acting", "calibration:spearman-h8"),
            ("… of the predicted movement instead", "calibration:spearman-movement-h8"),
        ):
            found.append(Figure(f"{task}: {what}", f"{key}/{task}"))
    return tuple(found)


PHASE_6 = Source(
    title="Phase 6, ensembles on three tasks",
    did="Five MLPs a task from different seeds: validation errors of .0002 to .0008 and a "
    "weight cosine of .6, “good diversity, the key ingredient for preventing model "
    "exploitation”; feature statistics alike on all tasks, “multi-task V-JEPA encoding "
    "generalises”.",
    mended="Persistence, the weight cosine of ensembles that nobody trained, and the rank "
    "correlation of disagreement with the true error on held-out episodes, which is what "
    "diversity is for. The agents of `foresight learn` have ensembles in a latent state that was "
    "learned; theirs stand beside (`foresight reproduce calibration`).",
    reads=("calibration",),
    figures=_phase_6_figures(),
    claims=(
        *(
            claim
            for task in TASKS
            for claim in in_both_views(
                f"The encoding generalises over tasks: dynamics can be learnt ({task}).",
                "error of the ensemble's mean after 1 step minus persistence's",
                error_key("{view}:ensemble", "persistence", 1, task),
                "below",
            )
        ),
        *(
            claim
            for task in TASKS
            for claim in in_both_views(
                f"Diverse members provide uncertainty estimates ({task}).",
                "rank correlation of disagreement and true error, 8 steps ahead",
                f"{{view}}:ensemble:spearman-h8/{task}",
                "above",
            )
        ),
        *(
            Claim(
                f"Diverse members provide uncertainty estimates ({task}).",
                "rank correlation of disagreement and true error, 8 decisions ahead, state learned "
                "by acting",
                f"calibration:spearman-h8/{task}",
                "above",
            )
            for task in TASKS
        ),
    ),
)


def _followed(task: str, does: str, case: str, rival: str, side: Side) -> Claim:
    """What following a demonstration does on a task, against a rival on the same seeds."""
    return Claim(
        f"Following a demonstration {does} ({task}).",
        f"return of the taught agent, {case}, minus {rival}",
        "teach:" + return_key(case, rival, task),
        side,
    )


PHASE_7 = Source(
    title="Phase 7, planning with ensembles towards what was shown",
    did="CEM on 5 R − distance − 2 disagreement followed demonstrations: reacher 15.3 on "
    "average of three (45.0 at best), 0.0 from other starts; point_mass 0; cartpole 20.1 "
    "and 20.2 where its expert had 0: “works on 2 of 3 tasks”, “beats the expert”, "
    "“generalizes to shifted starts”.",
    mended="Twenty seeds beside zero, random and the best constant action. What is shown is the "
    "best frame of a demonstration that succeeds, of the same scene (faithful) or another "
    "(shifted). Following a whole demonstration, as the sources did, is another agent's task "
    "(`foresight reproduce teach`), and stands beside it.",
    reads=("teach",),
    figures=(
        Figure("reacher, faithful", f"grid:faithful/{REACHER}", 15.3),
        Figure("reacher, shifted", f"grid:shifted/{REACHER}", 0.0),
        Figure("reacher, faithful, mean vector", f"mean:faithful/{REACHER}", 15.3),
        Figure("reacher, doing nothing", f"zero/{REACHER}"),
        Figure("point_mass, faithful", f"grid:faithful/{POINT_MASS}", 0.0),
        Figure("point_mass, shifted", f"grid:shifted/{POINT_MASS}", 0.0),
        Figure("cartpole, faithful", f"grid:faithful/{CARTPOLE}", 20.1),
        Figure("cartpole, shifted", f"grid:shifted/{CARTPOLE}", 20.2),
        Figure("cartpole, faithful, mean vector", f"mean:faithful/{CARTPOLE}", 20.1),
        Figure("cartpole, best constant action", f"constant/{CARTPOLE}"),
        *(
            Figure(f"{words}, a demonstration followed, {case}", f"teach:{case}/{task}", number)
            for task, words, numbers in (
                (REACHER, "reacher", (15.3, 0.0)),
                (POINT_MASS, "point_mass", (0.0, 0.0)),
                (CARTPOLE, "cartpole", (20.1, 20.2)),
            )
            for case, number in zip(("faithful", "start-shifted"), numbers, strict=True)
        ),
    ),
    claims=(
        *in_both_views(
            "Planning with ensembles works on reacher.",
            "return, faithful, minus doing nothing",
            return_key("{view}:faithful", "zero"),
            "above",
        ),
        *in_both_views(
            "Planning with ensembles works on cartpole.",
            "return, faithful, minus the best constant action",
            return_key("{view}:faithful", "constant", CARTPOLE),
            "above",
        ),
        Claim(
            "Cartpole's 20.1 is a better strategy than the expert's.",
            "return of the best constant action",
            f"constant/{CARTPOLE}",
            "below",
            20.1,
        ),
        Claim(
            "Cartpole generalises to shifted starts.",
            "return, shifted, minus the best constant action, view grid",
            return_key("grid:shifted", "constant", CARTPOLE),
            "above",
        ),
        *in_both_views(
            "Point mass does not work.",
            "return, faithful, minus doing nothing",
            return_key("{view}:faithful", "zero", POINT_MASS),
            "not above",
        ),
        Claim(
            "Reacher does not work where the target has moved.",
            "return, shifted, minus doing nothing, view grid",
            return_key("grid:shifted", "zero"),
            "not above",
        ),
        _followed(REACHER, "works", "faithful", "zero", "above"),
        _followed(CARTPOLE, "works", "faithful", "constant", "above"),
        _followed(POINT_MASS, "does not work", "faithful", "constant", "not above"),
        _followed(
            REACHER,
            "does not work from shifted starts",
            "start-shifted",
            "constant-start-shifted",
            "not above",
        ),
        _followed(
            CARTPOLE,
            "generalises to shifted starts",
            "start-shifted",
            "constant-start-shifted",
            "above",
        ),
        _followed(CARTPOLE, "beats who showed it", "faithful", "demonstration", "above"),
    ),
)
