"""The studies by their names: which module runs one, and in which sizes.

A study is a module with ``reproduce(request) -> Result``; what it returns is saved and printed by
`studies.command`. A new one is a module and a line in `STUDIES`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import tyro

from foresight.core.errors import ForesightError

Preset = Literal["full", "short", "smoke"]
SIZES: tuple[Preset, ...] = ("full", "smoke")
EVERY: tuple[Preset, ...] = ("full", "short", "smoke")
ALL, LIST = "all", "list"
"""Names for every phase, one after the other, and for nothing but the list of names."""


ENCODER = "foresight-small"
"""The eyes where nobody names others."""


@dataclass(frozen=True)
class Request:
    """Repeat a study by its name; without one they are listed.

    Studies are the phases and days of the source documents, and what else was asked of baselines,
    encoders and learned models. Each writes a result file and prints our figures, beside the
    sources' where they have some.
    """

    name: Annotated[str, tyro.conf.Positional] = LIST
    """Which one; all runs every phase, one after the other."""
    preset: Preset = "full"
    """short: a fifth of a phase's data, for a busy machine; smoke: under a minute, to see that
    everything runs."""
    out: Path | None = None
    """The result file; results/NAME.json if not given, a smoke run writes into its own folder."""
    run: Path | None = None
    """Folder for data and finished episodes: a stopped run, started again, goes on from there."""
    encoder: str = ENCODER
    """Folder or hub id of a V-JEPA 2 checkpoint, for phases and days; with --ac its own encoder
    stays unless another is named here."""
    device: str = "cpu"
    """Where the encoder runs."""
    seeds: int | None = None
    """Evaluation seeds, if not the preset's number."""
    episodes: int | None = None
    """Episodes of each dataset of the phases, rendered clips, or held-out episodes, if not the
    preset's number."""
    workers: int | None = None
    """Processes; one a core if not given."""
    ac: Path | None = None
    """V-JEPA 2-AC checkpoint, for the days; small random weights without one."""
    clip: Path | None = None
    """Video or .npy frames, for the days; rendered episodes without one."""
    learned: tuple[Path, ...] = ()
    """Folders of `foresight learn`, for calibration, ablation, cost and dmc1000. Without one the
    first three take runs/planning, and dmc1000 learns on its own."""
    models: Path = Path("runs/planning")
    """What `foresight learn` left, for teach, open-loop, delay, adaptation, phase-8, phase-9 and
    new-reward: a folder with TASK/model in it; a smoke run of all but the last learns a tiny
    one."""
    tasks: tuple[str, ...] = ()
    """Tasks of teach, open-loop, delay, adaptation, phase-8, phase-9, metaworld, libero, mistakes,
    track-b, lewm, reward-only, imagination-gain, spot-new-task and dreamer-vs-ppo, or rewards of
    new-reward, if not their own; what dmc1000 learns, if not all of its tasks, or none beside
    learned models. Other tasks in the file of teach, open-loop, delay, adaptation, dmc1000,
    track-b, lewm, reward-only, imagination-gain, spot-new-task, dreamer-vs-ppo or new-reward
    stay."""
    hours: float | None = None
    """Recorded hours of track-b, if not the preset's number."""

    @property
    def smoke(self) -> bool:
        """Whether it only has to be seen that everything runs."""
        return self.preset == "smoke"

    @property
    def other_encoder(self) -> str | None:
        """The encoder that is named, if it is not the default."""
        return None if self.encoder == ENCODER else self.encoder

    def given(self, *options: str, **renamed: str) -> dict[str, Any]:
        """Those of some options that the command names, as fields of a configuration.

        Args:
            options: fields of the request; the configuration calls them the same.
            renamed: fields of the request to what the configuration calls them.
        """
        names = {name: name for name in options} | renamed
        values = {told: getattr(self, name) for name, told in names.items()}
        return {told: value for told, value in values.items() if value not in (None, ())}

    @property
    def study(self) -> Study:
        """The study that is asked for.

        Raises:
            ForesightError: there is none of this name.
        """
        if self.name not in STUDIES:
            near = difflib.get_close_matches(self.name, STUDIES, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"choose one of {', '.join(STUDIES)}"
            raise ForesightError(
                f"There is no study {self.name!r}: {hint}; `foresight reproduce` lists them all."
            )
        return STUDIES[self.name]

    @property
    def folder(self) -> Path:
        """Where the study works."""
        name = self.study.folder or self.name
        return self.run or Path("runs") / (
            name if self.preset == "full" else f"{name}-{self.preset}"
        )

    @property
    def target(self) -> Path:
        """The result file."""
        if self.out is not None:
            return self.out
        return self.folder / f"{self.name}.json" if self.smoke else results_file(self.name)

    @property
    def processes(self) -> int:
        """How many processes work."""
        from foresight.pipelines.stages import default_workers

        return self.workers or default_workers()


@dataclass(frozen=True)
class Study:
    """What can be asked for by a name."""

    name: str
    module: str
    """Below ``studies``; imported when it runs, for some need packages of their own."""
    about: str
    """In half a sentence."""
    presets: tuple[Preset, ...] = SIZES
    folder: str = ""
    """Of its runs, where several studies share one."""
    writes: bool = True
    """Whether it has a result file of its own, or is answered by those of others."""

    def load(self) -> ModuleType:
        """Its module."""
        return importlib.import_module(f"studies.{self.module}")

    def check(self, request: Request) -> None:
        """See that it can do what is asked for.

        Raises:
            ForesightError: a preset that it does not have, or a file for a study that writes none.
        """
        if request.preset not in self.presets:
            raise ForesightError(
                f"{self.name} has no preset {request.preset}, only the phases have: choose full or "
                "smoke."
            )
        if request.out is not None and not self.writes:
            raise ForesightError(
                f"{self.name} writes no file of its own: leave out --out {request.out}."
            )


def results_file(name: str) -> Path:
    """Where a full run leaves its result."""
    return Path("results") / f"{name}.json"


def _phase(number: str, about: str) -> Study:
    return Study(f"phase-{number}", "phases", about, EVERY, "phases")


PHASES = (
    _phase("1", "behaviour cloning on frozen features"),
    _phase("3", "dynamics beside persistence at every horizon"),
    _phase("4", "random shooting towards a frame of a random exploration"),
    _phase("4b", "the cross-entropy method beside random shooting"),
    _phase("4c", "one-step and multi-step training"),
    _phase("4d", "a small and a large network on the same data"),
    _phase("4e", "both networks on a million transitions and on a tenth of them"),
    _phase("5b", "reward read from the latent state"),
    _phase("6", "ensembles on three tasks, and what their diversity is worth"),
    _phase("7", "the sources' score on three tasks, scenes shown and shifted"),
    Study("phase-8", "phases.learned", "the ablation, on learned agents", EVERY, writes=False),
    Study("phase-9", "phases.learned", "eight tasks, learned and taught", EVERY, writes=False),
)
OTHERS = (
    Study("baselines", "baselines", "what needs no skill, experts and the oracle"),
    Study("experts", "experts", "the search for the feedback laws of the package"),
    Study("faults", "faults", "collect, encode and train, killed and resumed"),
    Study("foresight-small", "foresight_small", "the pretraining of the bundled encoder"),
    Study("day36-zero-shot", "ac", "V-JEPA 2-AC's action-conditioned predictions", folder="ac"),
    Study("day37-drift", "ac", "how far its rollouts drift from the true features", folder="ac"),
    Study("calibration", "evidence", "whether learned ensembles know where they err"),
    Study("ablation", "evidence", "a learned model without each of its parts"),
    Study("cost", "evidence", "what a learned task took in time and memory"),
    Study("dmc1000", "evidence", "learned agents in the field's protocol of 1,000 steps"),
    Study(
        "reward-only",
        "reward_only",
        "agents that learn from pixels and reward alone, and what search adds",
        presets=EVERY,
    ),
    Study(
        "new-reward",
        "new_reward.study",
        "a learned model put to other ends, without new data",
        presets=EVERY,
    ),
    Study(
        "imagination-gain",
        "imagination_gain",
        "what search and an imagined actor add to the reflex they are built on",
    ),
    Study(
        "metaworld", "metaworld", "one policy for ten tasks of Meta-World, with eyes and without"
    ),
    Study(
        "libero",
        "libero",
        "one policy for ten tasks of LIBERO, with eyes and without",
        presets=EVERY,
    ),
    Study(
        "mistakes",
        "mistakes.study",
        "the source head's mistakes on tasks of Meta-World, one at a time",
        presets=EVERY,
    ),
    Study(
        "mistakes-libero",
        "mistakes.study",
        "the same on LIBERO, where three of them are at home",
        presets=EVERY,
    ),
    Study(
        "own-data", "own_data.study", "recordings of LeRobot and of an own robot, served and acting"
    ),
    Study("vjepa21", "vjepa21", "V-JEPA 2.1 beside outputs of Meta's code, and how fast it is"),
    Study("open-loop", "open_loop", "how far ahead the models of learned agents see"),
    Study("delay", "delay", "learned agents whose actions are executed late", presets=EVERY),
    Study(
        "track-b",
        "track_b.study",
        "frame-causal predictors by their size, beside what needs no model",
        presets=EVERY,
    ),
    Study(
        "lewm",
        "lewm.study",
        "LeWorldModel from pixels, planned with towards goal pictures",
        presets=EVERY,
    ),
    Study(
        "jepa-design",
        "jepa_design.study",
        "choices in a world model of pictures: planning success beside cosines",
        presets=EVERY,
    ),
    Study("spot", "spot", "whether Spot's gait walks as it is told, and what that takes"),
    Study(
        "spot-new-task",
        "spot_new_task.study",
        "the frozen model of a walking Spot put to tasks that need seeing",
        presets=EVERY,
    ),
    Study(
        "adaptation",
        "adaptation",
        "learned agents in bodies that changed, learning on while they act",
        presets=EVERY,
    ),
    Study(
        "dreamer-vs-ppo",
        "dreamer_vs_ppo",
        "a reduced Dreamer, with a decoder and without, beside PPO on the same frames",
        presets=EVERY,
    ),
    Study("teach", "teach", "one demonstration shown, on twenty seeds a task"),
)
STUDIES = {study.name: study for study in (*PHASES, *OTHERS)}


def chosen(request: Request) -> Sequence[str]:
    """The studies that a request names.

    Raises:
        ForesightError: see `Study.check`.
    """
    if request.name != ALL:
        request.study.check(request)
        return (request.name,)
    if request.out is not None:
        raise ForesightError(f"all writes no file of its own: leave out --out {request.out}.")
    return tuple(study.name for study in PHASES)
