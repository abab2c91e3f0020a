"""What each mistake of the source documents' policy head costs, on demonstrated tasks.

The right policy is the one of `foresight run` on such tasks, with the source's 50 actions in a
chunk. It is the default head: absolute error, as the source's regression has it, and points of the
picture. It solves nearly all of these tasks, and what a mistake costs is seen below a policy that
works; one of flow matching loses more by itself than most mistakes may. Where a mistake needs
something that this policy has not (tokens of unit norm, clips, goal pictures), a second right
policy has that, too, and is what the mistake is compared with. Demonstrations end with success,
as the source's did: forty steps more of staying would hide what it costs to leave the end out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from foresight.core.files import read_json
from foresight.core.progress import console
from foresight.data.dataset import Dataset
from foresight.envs.factories import LIBERO, METAWORLD, default_protocol, full_id
from foresight.envs.libero.tasks import SUITES
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary, paired_difference
from foresight.pipelines import demonstrated
from foresight.pipelines.demonstrated import LONG, DemonstratedConfig, suite_of
from foresight.pipelines.imitation import Prepared, prepare_chunks
from foresight.policies.chunk.config import NetworkConfig
from foresight.policies.chunk.policy import ChunkActing
from foresight.rollout.pool import run_jobs
from foresight.training.chunk.train import ERRORS, ChunkTraining, train_chunk_policy
from foresight.training.loop import FitConfig
from studies.demonstrated import LABELS, asked
from studies.mistakes.variants import HEAD, MISTAKES, VARIANTS, Variant, chosen
from studies.registry import Request

TASKS = tuple(f"{METAWORLD}{name}" for name in ("push", "reach", "button-press"))
OF_LIBERO = tuple(f"{LIBERO}spatial/{name}" for name in SUITES["spatial"][:3])
SUITE = {"mistakes": METAWORLD, "mistakes-libero": LIBERO}
"""A study to the namespace of its tasks."""
CLIP = "last:grid=8,window=16"
"""A clip of 16 pictures as the source's, of which the last moment is read."""
RATE = 20
"""Pictures a second in it, the source's."""

HEAD_FIT = FitConfig(
    epochs=5,
    updates=1000,
    batch=32,
    lr=1e-4,
    weight_decay=1e-5,
    clip=1.0,
    warmup=50,
    dtype="auto",
)
"""The source's batch and rates; 1,000 updates in place of 100 passes."""


@dataclass(frozen=True)
class MistakesConfig:
    """Sizes."""

    shown: DemonstratedConfig
    """Demonstrations, the right policy, and its trials."""
    policies: tuple[str, ...]
    """Mistakes and others, names of `VARIANTS`."""
    clip: str
    """Readout of those that see clips."""
    head: ChunkTraining
    """Of the source's head, as configured there but for its length: 100 passes would take days."""

    @property
    def protocol(self) -> str | None:
        """By which trials begin: the tasks' usual one, LIBERO's states of the benchmark."""
        return default_protocol(self.shown.tasks[0])

    @property
    def variants(self) -> list[Variant]:
        """The policies of the comparison."""
        return chosen(self.policies, tuple(map(full_id, self.shown.tasks)))


def presets(name: str = "mistakes") -> dict[str, MistakesConfig]:
    """The named sizes. ``short`` has half of the demonstrations, trials and updates; of LIBERO
    it has only what no other suite can show.
    """
    libero = SUITE[name] == LIBERO
    found = demonstrated.presets(OF_LIBERO if libero else TASKS)
    training = found["full"].training
    shown = replace(
        found["full"],
        shown_from="wide" if libero else None,
        training=replace(
            training,
            network=replace(training.network, chunk=50),
            fit=replace(LONG.fit, updates=4000),
        ),
        acting=ChunkActing(execute=8),
    )
    clip = CLIP if libero else f"{CLIP},stride=4"  # at 80 pictures a second
    head = ChunkTraining(HEAD, fit=HEAD_FIT, rotations=training.rotations)
    full = MistakesConfig(shown, (*MISTAKES, HEAD), clip, head)
    fit = replace(shown.training.fit, updates=2000)
    half = replace(shown, episodes=25, seeds=10, training=replace(shown.training, fit=fit))
    alone = tuple(each for each in MISTAKES if VARIANTS[each].only == LIBERO)
    short = replace(full, shown=half, policies=alone if libero else MISTAKES)
    tiny = replace(found["smoke"], tasks=shown.tasks[-1:], episodes=3, steps=8)
    tiny = replace(tiny, shown_from=shown.shown_from)
    small = NetworkConfig(chunk=8, width=64, layers=1, feedforward=64)
    head = replace(head, network=small, fit=tiny.training.fit)
    smoke = MistakesConfig(
        tiny, full.policies, clip.replace("grid=8,window=16", "grid=4,window=4"), head
    )
    return {"full": full, "short": short, "smoke": smoke}


def reproduce(request: Request) -> Result:
    """Collect, learn every policy, and let each act on the same starts; a stopped run goes on.

    Rows: an episode of each policy, task and start, and ``held-out-error`` of each training.
    """
    config, namespace = presets(request.name)[request.preset], SUITE[request.name]
    config = replace(config, shown=asked(config.shown, namespace, request))
    rows = measure(config, request.folder, request.processes)
    left = [name for name in config.policies if VARIANTS[name] not in config.variants]
    notes = [f"{', '.join(left)} cannot be shown by these tasks."] if left else []
    about = {**asdict(config), "labels": LABELS, "notes": notes}
    return make_result(request.name, about, str(config.protocol), rows, costs(rows))


def measure(config: MistakesConfig, folder: Path, workers: int = 1) -> list[Row]:
    """Rows of every policy."""
    dataset = demonstrated.demonstrations(config.shown, folder / "demonstrations", workers)
    rows = learn(config, dataset, folder, workers)
    for variant in config.variants:
        for task in config.shown.tasks:
            rows += played(config, variant, task, folder, workers)
    return rows


def learn(config: MistakesConfig, dataset: Dataset, folder: Path, workers: int) -> list[Row]:
    """Train every policy that is not another's, several side by side; rows of held-out errors."""
    names = [each.name for each in config.variants if each.acts is None]
    names.sort(key=lambda name: name != HEAD)  # the longest first, so that no core waits for it
    for name in names:  # with all cores for one, and before anyone else writes these caches
        console.print(f"[bold]{name}[/]: encode")
        prepared(config, VARIANTS[name], dataset, folder)
    console.print(f"learn {', '.join(names)}")
    rows: list[Row] = []
    found = run_jobs(partial(Learner, config, folder), names, workers, "learning")
    for name, error in zip(names, found, strict=True):
        rows.append({"measure": "held-out-error", "condition": name, "value": error})
    return rows


class Learner:
    """Trains policies by name, in whatever process."""

    def __init__(self, config: MistakesConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.dataset = Dataset.open(folder / "demonstrations")

    def __call__(self, name: str) -> float:
        """The held-out error of one, in deviations of the actions."""
        variant, place = VARIANTS[name], self.folder / name
        data, policy, training = prepared(self.config, variant, self.dataset, self.folder)
        train_chunk_policy(variant.shown(data), policy, training, place, variant.prepare)
        return float(read_json(place / ERRORS)["methods"]["policy"]["mean"])


def prepared(config: MistakesConfig, variant: Variant, dataset: Dataset, folder: Path) -> Prepared:
    """What a policy learns from and what it is made of, encoded once."""
    shown = config.shown
    readout = config.clip if variant.clip else shown.readout
    eyes = variant.eyes(shown.encoder, readout, shown.device)
    training = training_of(config, variant)
    return prepare_chunks(dataset, eyes, training, folder / "cache", shown.cameras)


def training_of(config: MistakesConfig, variant: Variant) -> ChunkTraining:
    """The training of a policy; the source's head has its own."""
    return config.head if variant.name == HEAD else variant.change(config.shown.training)


def played(
    config: MistakesConfig, variant: Variant, task: str, folder: Path, workers: int
) -> list[Row]:
    """Episodes of one policy and task; those that were finished before are not run again."""
    shown = config.shown
    env = EnvConfig(task, config.protocol, cameras=shown.cameras, size=shown.size)
    trial = EvalConfig(env, tuple(range(shown.seeds)), shown.steps, workers)
    maker = variant.factory(
        str(folder / (variant.acts or variant.name)), shown.acting, shown.device
    )
    cache = EpisodeCache(folder / "rows.jsonl")
    found = assess_policy(trial, variant.name, maker, cache, start=variant.start)
    return [{**row, "suite": suite_of(env)} for row in found.rows]


def costs(rows: Sequence[Row]) -> Summary:
    """Rates of success, and what each mistake costs.

    Keys: those of `foresight.pipelines.demonstrated.successes`, and
    ``<right>-minus-<mistake>/<suite>``, of starts that both have played (bootstrap). Seeds of
    ``no-states`` begin in other places than the right policy's: there a pair shares nothing.
    """
    episodes = [row for row in rows if "measure" not in row]
    found = demonstrated.successes(episodes)
    for suite in dict.fromkeys(row["suite"] for row in episodes):
        won: dict[str, dict[tuple[str, int], float]] = {}
        for row in episodes:
            if row["suite"] == suite:
                own = won.setdefault(row["condition"], {})
                own[row["task"], row["seed"]] = float(bool(row["success"]))
        for name in MISTAKES:
            right = str(VARIANTS[name].instead_of)
            both = sorted(won.get(name, {}).keys() & won.get(right, {}).keys())
            if both:
                pairs = [(won[right][start], won[name][start]) for start in both]
                ours, theirs = zip(*pairs, strict=True)
                difference = paired_difference(ours, theirs)
                found[f"{right}-minus-{name}/{suite}"] = difference.as_dict()
    return found
