"""What the documents say of the eyes, and what they conclude from everything."""

from __future__ import annotations

from foresight.envs.dmc.tasks import MEASURED_TASKS
from studies.claims import Claim, Figure
from studies.sources.common import CARTPOLE, REACHER, Source, return_key
from studies.sources.learned import LOST, TRIVIAL

SCENES = "scenes"
READ = (
    ("position of an object, R²", "object-xy-r2", 0.86),
    ("size of an object, R²", "object-size-r2", 0.89),
    ("depth of an object, R²", "object-depth-r2", 0.89),
    ("class of an object, accuracy", "object-class-accuracy", 0.884),
    ("direction of motion, accuracy", "motion-direction-accuracy", 0.636),
)
"""What a probe reads from single objects, and how well it did in the sources."""


def _eyes_figures() -> tuple[Figure, ...]:
    found: list[Figure] = []
    for what, key, number in READ:
        found += [
            Figure(what, f"{key}/{SCENES}", number),
            Figure("… a linear probe on the mean vector", f"linear on mean:{key}/{SCENES}", number),
            Figure("… untrained weights", f"random-weights:{key}/{SCENES}"),
            Figure("… components of the pixels", f"pixel-pca:{key}/{SCENES}"),
        ]
    return tuple(found)


EYES = Source(
    title="What the eyes see",
    did="Linear probes on the mean vector read an object's position (R² .86), size or depth (.89) "
    "and class (88 %), its direction of motion hardly (64 %), where a random baseline had −.11 and "
    "42 %: “perception is solved”.",
    mended="Scenes of our own, so figures stand beside each other and are not expected to agree; "
    "several probes on frozen tokens, of which the best counts, for trained and for untrained "
    "eyes; single scenes are held out.",
    figures=_eyes_figures(),
    claims=(
        *(
            Claim(
                f"Frozen features hold it: {what}, at {number:g} or more.",
                f"{what}, best probe, held-out scenes",
                f"{key}/{SCENES}",
                "not below",
                number,
            )
            for what, key, number in READ[:-1]
        ),
        Claim(
            "Motion is hardly encoded (direction read at 64 %).",
            "accuracy of the direction, best probe, held-out scenes",
            f"motion-direction-accuracy/{SCENES}",
            "not above",
            0.636,
        ),
        Claim(
            "It is pretraining that makes position readable.",
            "R² of position with untrained weights",
            f"random-weights:object-xy-r2/{SCENES}",
            "below",
            0.86,
        ),
    ),
)

WORKED = ("walker-walk", CARTPOLE, REACHER)

CONCLUSIONS = Source(
    title="The documents' own conclusions",
    did="“V-JEPA 2 as frozen encoder works”, “perception is solved but grounding isn't”, “latent "
    "distance is not task reward”, “search beats learning (for now)”.",
    mended="Held against agents and eyes that are measured for other reasons: the agent that "
    "learned by acting, its parts, and the probes.",
    reads=("planning", "ablation", "probes"),
    measured=False,
    figures=tuple(
        figure
        for task in WORKED
        for figure in (
            Figure(f"{task}: learned by acting", f"planning:mpc/{task}"),
            Figure(f"{task}: best trivial ({TRIVIAL[task]})", f"{TRIVIAL[task]}/{task}"),
            Figure(f"{task}: oracle", f"oracle/{task}"),
        )
    ),
    claims=(
        *(
            Claim(
                f"A frozen encoder works ({task}).",
                f"return of the agent of `foresight learn` minus {TRIVIAL[task]}",
                "planning:" + return_key("mpc", TRIVIAL[task], task),
                "above",
            )
            for task in WORKED
        ),
        *(
            Claim(
                f"Perception is solved: {name} of {task} can be read as well as theirs.",
                f"R² of {name} on held-out episodes, small bundled eyes",
                f"probes:{key}-r2/{task}",
                "not below",
                0.86,
            )
            for key, name in (("position", "positions"), ("velocity", "velocities"))
            for task in MEASURED_TASKS
            if name != "positions" or task not in LOST  # phase 9 asks that there
        ),
        *(
            Claim(
                f"Latent distance is not task reward: aiming at it earns nothing ({task}).",
                f"return of NO_REWARD minus {TRIVIAL[task]}",
                "ablation:" + return_key("NO_REWARD", TRIVIAL[task], task),
                "not above",
            )
            for task in (REACHER, CARTPOLE)
        ),
        *(
            Claim(
                f"Search beats learning ({task}).",
                "return of imagining with everything minus the learned action prior alone",
                f"ablation:FULL-minus-PRIOR/{task}",
                "above",
            )
            for task in (REACHER, CARTPOLE)
        ),
    ),
)
