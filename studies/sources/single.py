"""Phases 1 to 4e: one task, one network."""

from __future__ import annotations

from studies.claims import Claim, Figure
from studies.sources.common import (
    REACHER,
    Source,
    error_key,
    figures_of_both,
    in_both_views,
    return_key,
)

PHASE_1 = Source(
    title="Phase 1, behaviour cloning",
    did="An MLP cloned a scripted controller from mean vectors and matched it (66.4 against "
    "67.6, 20 % success): “V-JEPA 2 embeddings fully support policy learning; the ceiling "
    "is the expert, not the encoder.”",
    mended="The expert solves every episode, so it is no ceiling; episodes are held out whole; "
    "the policy stands beside doing nothing.",
    figures=(
        *figures_of_both("return of the cloned policy", f"{{view}}:cloned/{REACHER}", 66.4),
        Figure("return of the expert", f"expert/{REACHER}", 67.6),
        *figures_of_both(
            "success rate of the cloned policy", f"{{view}}:cloned:success/{REACHER}", 0.20
        ),
    ),
    claims=(
        *in_both_views(
            "The embeddings fully support policy learning: the clone is within 10 of its expert.",
            "return of the clone minus the expert's",
            return_key("{view}:cloned", "expert"),
            "not below",
            -10.0,
        ),
        *in_both_views(
            "The clone is far better than acting without skill.",
            "return of the clone minus doing nothing",
            return_key("{view}:cloned", "zero"),
            "above",
        ),
    ),
)

PHASE_3 = Source(
    title="Phase 3, one-step dynamics",
    did="A residual MLP predicted the next mean vector with a SmoothL1 of .01: “the dynamics "
    "model learned meaningful 1-step transitions.” Persistence was not measured.",
    mended="The error of predicting that nothing changes stands beside it, on held-out episodes, "
    "at every horizon that a planner uses. Errors are in units of the state's variance.",
    figures=(
        *figures_of_both(
            "validation SmoothL1", f"{{view}}:one-step:validation-smooth-l1/{REACHER}", 0.01
        ),
        *figures_of_both(
            "the same for “nothing changes”",
            f"{{view}}:persistence:validation-smooth-l1/{REACHER}",
            None,
        ),
    ),
    claims=(
        *in_both_views(
            "The model learned meaningful one-step transitions.",
            "error after 1 step minus persistence's",
            error_key("{view}:one-step", "persistence", 1),
            "below",
        ),
        *in_both_views(
            "It can be unrolled for planning.",
            "error after 10 steps minus persistence's",
            error_key("{view}:one-step", "persistence", 10),
            "below",
        ),
    ),
)

PHASE_4 = Source(
    title="Phase 4, random shooting",
    did="1,000 random sequences of 10 steps towards the best frame of a random exploration: "
    "return 0 in one episode of 100 steps, “failed”.",
    mended="Twenty seeds, whole episodes.",
    figures=figures_of_both("return (theirs: one episode)", f"{{view}}:shooting/{REACHER}", 0.0),
    claims=in_both_views(
        "Random shooting towards a randomly found goal earns nothing.",
        "return minus doing nothing",
        return_key("{view}:shooting", "zero"),
        "not above",
    ),
)

PHASE_4B = Source(
    title="Phase 4b, CEM",
    did="CEM with an expert's frame as goal earned 6.0 in one episode and removed 41 % of the "
    "latent distance: “the dynamics model learned real physics”, “CEM >> random shooting”. "
    "Goal and search had changed together.",
    mended="Both searches imagine the same number of futures towards the same goals, on 20 seeds.",
    figures=(
        *figures_of_both("return of CEM (theirs: one episode)", f"{{view}}:cem/{REACHER}", 6.0),
        *figures_of_both("return of random shooting", f"{{view}}:shooting/{REACHER}", 0.0),
        *figures_of_both(
            "latent distance removed by CEM",
            f"{{view}}:cem:latent-distance-removed/{REACHER}",
            0.413,
        ),
        *figures_of_both(
            "latent distance removed by shooting",
            f"{{view}}:shooting:latent-distance-removed/{REACHER}",
            None,
        ),
    ),
    claims=(
        *in_both_views(
            "CEM is far better than random shooting.",
            "return of CEM minus random shooting's at equal budgets",
            return_key("{view}:cem", "{view}:shooting"),
            "above",
        ),
        *in_both_views(
            "The dynamics model learned real physics.",
            "error after 10 steps minus persistence's",
            error_key("{view}:one-step", "persistence", 10),
            "below",
        ),
        *in_both_views(
            "CEM achieves real environment reward.",
            "return of CEM minus doing nothing",
            return_key("{view}:cem", "zero"),
            "above",
        ),
        Claim(
            "A return of 6.0 is an achievement.",
            "return of doing nothing",
            f"zero/{REACHER}",
            "below",
            6.0,
        ),
    ),
)

PHASE_4C = Source(
    title="Phase 4c, multi-step training",
    did="Training over H = 5 imagined steps gave 0.0 return and removed 31 % of the latent "
    "distance (one-step: 6.0 and 41 %): “multi-step training regressed.” It had 1,050 "
    "updates against 31,000.",
    mended="Equal updates; the sources' share of them as a third model, which shows what the "
    "missing updates did.",
    figures=(
        *figures_of_both("return, one-step", f"{{view}}:one-step/{REACHER}", 6.0),
        *figures_of_both("return, multi-step", f"{{view}}:multi-step/{REACHER}", 0.0),
        *figures_of_both(
            "latent distance removed, one-step",
            f"{{view}}:one-step:latent-distance-removed/{REACHER}",
            0.413,
        ),
        *figures_of_both(
            "latent distance removed, multi-step",
            f"{{view}}:multi-step:latent-distance-removed/{REACHER}",
            0.314,
        ),
        *figures_of_both(
            "error after 10 steps, one-step",
            f"{{view}}:one-step:prediction-error@10/{REACHER}",
            None,
        ),
        *figures_of_both(
            "error after 10 steps, multi-step",
            f"{{view}}:multi-step:prediction-error@10/{REACHER}",
            None,
        ),
        *figures_of_both(
            "error after 10 steps, “nothing changes”",
            f"{{view}}:persistence:prediction-error@10/{REACHER}",
            None,
        ),
    ),
    claims=(
        *in_both_views(
            "Multi-step training regressed: its predictions are worse.",
            "error after 10 steps, multi-step minus one-step",
            error_key("{view}:multi-step", "one-step", 10),
            "above",
        ),
        *in_both_views(
            "Multi-step training regressed: it plans worse.",
            "return, multi-step minus one-step",
            return_key("{view}:multi-step", "{view}:one-step"),
            "below",
        ),
        *in_both_views(
            "Multi-step training regressed: it comes less close to the goal.",
            "share of the latent distance removed, multi-step minus one-step",
            f"{{view}}:multi-step minus {{view}}:one-step:removed-difference/{REACHER}",
            "below",
        ),
        *in_both_views(
            "The training objective is to blame, not the number of updates.",
            "error after 10 steps, multi-step with the sources' share of updates minus with all",
            error_key("{view}:multi-step starved", "multi-step", 10),
            "not above",
        ),
    ),
)

PHASE_4D = Source(
    title="Phase 4d, residual blocks",
    did="Four residual blocks of width 1,024 (10.5 million parameters) on 80 thousand "
    "transitions overfitted (training .0016, validation .0137 against .0100) and planned "
    "worst of all: “bigger is not better”, “the small MLP is the sweet spot”.",
    mended="Both networks get the same data, held-out episodes, updates and search, half of what "
    "the other phases take of the last two, and products in bfloat16. Only the view grid "
    "plans.",
    figures=(
        *figures_of_both(
            "validation SmoothL1, MLP", f"{{view}}:mlp:validation-smooth-l1/{REACHER}", 0.0100
        ),
        *figures_of_both(
            "validation SmoothL1, blocks",
            f"{{view}}:resblock:validation-smooth-l1/{REACHER}",
            0.0137,
        ),
        *figures_of_both(
            "last training SmoothL1, blocks",
            f"{{view}}:resblock:last-training-smooth-l1/{REACHER}",
            0.0016,
        ),
        Figure("return, MLP", f"grid:mlp/{REACHER}", 6.0),
        Figure("return, blocks", f"grid:resblock/{REACHER}", 0.0),
        Figure(
            "latent distance removed, MLP", f"grid:mlp:latent-distance-removed/{REACHER}", 0.413
        ),
        Figure(
            "latent distance removed, blocks",
            f"grid:resblock:latent-distance-removed/{REACHER}",
            0.115,
        ),
    ),
    claims=(
        *in_both_views(
            "Bigger is not better: the blocks predict worse one step ahead.",
            "error after 1 step, blocks minus MLP",
            error_key("{view}:resblock", "mlp", 1),
            "above",
        ),
        *in_both_views(
            "Bigger is not better: the blocks predict worse ten steps ahead.",
            "error after 10 steps, blocks minus MLP",
            error_key("{view}:resblock", "mlp", 10),
            "above",
        ),
        Claim(
            "The small MLP is the sweet spot: the blocks plan worse.",
            "return, blocks minus MLP, view grid",
            return_key("grid:resblock", "grid:mlp"),
            "below",
        ),
    ),
)

PHASE_4E = Source(
    title="Phase 4e, ten times the data",
    did="With a million transitions both errors fell (MLP .0100 to .0039, blocks .0137 to "
    ".0057); the MLP earned 29.0 in one episode, the blocks 0.0 although they removed 44 % "
    "of the latent distance: “overfitting completely fixed”, “latent distance is not task "
    "reward”.",
    mended="A tenth of the training episodes and all of them share their held-out episodes, "
    "updates and search.",
    figures=(
        Figure("validation SmoothL1, MLP", f"mlp all:validation-smooth-l1/{REACHER}", 0.0039),
        Figure("… on a tenth", f"mlp tenth:validation-smooth-l1/{REACHER}", 0.0100),
        Figure(
            "validation SmoothL1, blocks", f"resblock all:validation-smooth-l1/{REACHER}", 0.0057
        ),
        Figure("… on a tenth", f"resblock tenth:validation-smooth-l1/{REACHER}", 0.0137),
        Figure("return, MLP", f"mlp all/{REACHER}", 29.0),
        Figure("return, MLP on a tenth", f"mlp tenth/{REACHER}", 6.0),
        Figure("return, blocks", f"resblock all/{REACHER}", 0.0),
        Figure(
            "latent distance removed, blocks",
            f"resblock all:latent-distance-removed/{REACHER}",
            0.441,
        ),
    ),
    claims=(
        Claim(
            "Ten times the data improves the MLP.",
            "error after 10 steps, all data minus a tenth",
            error_key("mlp all", "mlp tenth", 10),
            "below",
        ),
        Claim(
            "Ten times the data cures the blocks of overfitting.",
            "error after 10 steps, all data minus a tenth",
            error_key("resblock all", "resblock tenth", 10),
            "below",
        ),
        Claim(
            "The MLP with much data earns more than with little.",
            "return, all data minus a tenth",
            return_key("mlp all", "mlp tenth"),
            "above",
        ),
        Claim(
            "The MLP is the best dynamics for control: the blocks earn less.",
            "return, blocks minus MLP, all data",
            return_key("resblock all", "mlp all"),
            "below",
        ),
        Claim(
            "The MLP with much data earns real reward.",
            "return minus doing nothing",
            return_key("mlp all", "zero"),
            "above",
        ),
    ),
)
