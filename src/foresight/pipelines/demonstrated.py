"""From nothing to a measured policy: experts show tasks, a policy of action chunks learns them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from foresight.core.errors import ForesightError
from foresight.core.progress import console
from foresight.data.dataset import Dataset
from foresight.data.layout import is_dataset
from foresight.envs.factories import LIBERO, METAWORLD, default_protocol, full_id
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig, protocol_name
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary, paired_difference, wilson_interval
from foresight.perception.config import EncoderConfig
from foresight.pipelines.imitation import learn_chunks
from foresight.policies.chunk.config import NetworkConfig
from foresight.policies.chunk.policy import ChunkActing, ChunkFactory
from foresight.policies.registry import MakePolicy, NamedPolicy
from foresight.report.run_page import film_path, road_page, save_films
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec
from foresight.rollout.tries import plan_successful
from foresight.training.chunk.train import ChunkTraining
from foresight.training.loop import FitConfig

LEARNED = ("chunk", "blind", "flow", "random-eyes")
"""The policy; one that learned with visual tokens that are zero; one with flow matching; one with
untrained eyes."""
UNLEARNED = ("eyes-shut", "replay", "zero", "random", "expert")
"""The policy with visual tokens that are zero in the trial alone, and those without a training."""
RIVALS = ("blind", "eyes-shut", "replay", "random-eyes")
"""What the policy is compared with, start by start."""
MODEL = "model"
LONG = ChunkTraining(fit=replace(ChunkTraining().fit, epochs=10, updates=12000))
SUITES: dict[str, dict[str, Any]] = {
    METAWORLD: {
        "cameras": ("far", "gripper"),
        "demonstrator": "noisy:0.4,80:expert",
        "shown_from": "held",
    },
    # The hand's orientation, numbers 3 to 5 of the state, is near half a turn, where signs jump.
    # At 20 decisions a second a whole chunk is long to go without looking.
    LIBERO: {
        "cameras": ("front", "wrist"),
        "demonstrator": "noisy:0.3:expert",
        "shown_from": "wide",
        "training": replace(LONG, rotations=(3,)),
        "acting": ChunkActing(execute=8),
    },
}
"""What suits a suite: a namespace to fields of `DemonstratedConfig`. A disturbed expert shows how
to recover; one that also lets go now and then, how to begin anew; held success, how to stay."""


@dataclass(frozen=True)
class DemonstratedConfig:
    """Demonstrations, training and evaluation."""

    tasks: tuple[str, ...]
    """Ids of environments of one robot that have experts."""
    policies: tuple[str, ...] = ("chunk", "eyes-shut", "replay", "zero", "expert")
    """Who acts: any of `LEARNED` and `UNLEARNED`."""
    episodes: int = 50
    """Demonstrations of each task, successful ones."""
    demonstrator: str = "expert"
    """Who shows; of a disturbed expert is learned what it would have done itself."""
    shown_from: str | None = None
    """Protocol by which the demonstrations begin; the environment's usual one if not given."""
    protocols: tuple[str | None, ...] = (None,)
    """Protocols that the policies are measured under."""
    cameras: tuple[str, ...] = ()
    size: int = 64
    encoder: str = "foresight-small"
    readout: str = EncoderConfig().readout
    device: str = "cpu"
    training: ChunkTraining = LONG
    acting: ChunkActing = field(default_factory=ChunkActing)
    seeds: int = 20
    """Starts of each task, seeds 0, 1, …; demonstrations have seeds from 20,000 on."""
    brief: tuple[str, ...] = ()
    """Policies that play the first half of the starts only, where the others are compared."""
    unseen: tuple[str, ...] = ()
    """Tasks that nobody shows, on which the policies are measured as well, as the benchmark has
    them; of the same texts as those that are shown."""
    steps: int | None = None
    """Cut episodes short (smoke runs)."""
    film: int = 1
    """Episodes of the policy and task that are filmed."""

    def __post_init__(self) -> None:
        known = (*LEARNED, *UNLEARNED)
        for name in self.policies:
            if name not in known:
                raise ForesightError(
                    f"The policy {name!r} is none of the comparison's: choose among "
                    f"{', '.join(known)}."
                )


def presets(tasks: Sequence[str]) -> dict[str, DemonstratedConfig]:
    """The named sizes: ``full``; ``demo``, some minutes of two cores a task; ``smoke``."""
    suited = next((s for name, s in SUITES.items() if full_id(tasks[0]).startswith(name)), {})
    full = DemonstratedConfig(tuple(tasks), **suited)
    few = FitConfig(epochs=1, updates=4, batch=8)
    tiny = NetworkConfig(chunk=8, width=32, layers=1, feedforward=64)
    fit = replace(full.training.fit, updates=4000)
    demo = replace(full, training=replace(full.training, fit=fit), seeds=10)
    smoke = replace(
        full,
        episodes=2,
        training=replace(full.training, network=tiny, fit=few),
        seeds=2,
        steps=20,
        policies=("chunk", "eyes-shut", "replay", "zero"),
    )
    return {"full": full, "demo": demo, "smoke": smoke}


class Rival(NamedTuple):
    """One kind of policy in the comparison.

    Attributes:
        name: in tables.
        maker: makes it.
        looks: whether it is shown pictures.
        data: fingerprint of the demonstrations, where it is no checkpoint.
    """

    name: str
    maker: MakePolicy
    looks: bool
    data: str | None = None


def road(config: DemonstratedConfig, folder: Path, workers: int = 1) -> Result:
    """Collect, learn, measure and write a page; run again after a stop, it goes on.

    Writes ``demonstrations/``, ``cache/``, ``model/``, ``rows.jsonl``, ``videos/``,
    ``result.json`` and ``report.html``.

    Raises:
        ForesightError: a task without an expert, and whatever a stage has to say.
    """
    rows = measure(config, folder, workers)
    protocol = protocol_name(EnvConfig(config.tasks[0]))
    result = make_result("demonstrated", config, protocol, rows, successes(rows))
    result.save(folder / "result.json")
    road_page(folder)
    return result


def measure(config: DemonstratedConfig, folder: Path, workers: int = 1) -> list[Row]:
    """Rows of every policy on every task and start."""
    dataset = demonstrations(config, folder / "demonstrations", workers)
    rows: list[Row] = []
    for rival in rivals(config, dataset, folder):
        for protocol in config.protocols:
            for task in config.tasks:
                rows += played(config, rival, task, folder, workers, protocol)
        for task in config.unseen:
            rows += played(config, rival, task, folder, workers)
    return rows


def demonstrations(config: DemonstratedConfig, folder: Path, workers: int = 1) -> Dataset:
    """Successful episodes of every task, collected once.

    Raises:
        ForesightError: a task has no expert, or its expert hardly ever succeeds.
    """
    specs, stored = list[EpisodeSpec](), _stored(folder)
    for task in config.tasks:  # one after the other: which seeds succeed is not tried twice
        env = EnvConfig(task, config.shown_from, cameras=config.cameras, size=config.size)
        shown = stored.get(full_id(task), [])
        if len(shown) == config.episodes:
            specs += [
                EpisodeSpec(env, info["seed"], config.demonstrator, tries=info.get("tries", 0))
                for info in shown
            ]
            continue
        specs += plan_successful(env, config.episodes, (config.demonstrator,), workers=workers)
        collect(folder, specs, workers)
    return Dataset.open(folder)


def _stored(folder: Path) -> dict[str, list[Mapping[str, Any]]]:
    """What is said of the episodes that a dataset has, if it is there, by environment."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for meta in Dataset.open(folder).metas if is_dataset(folder) else ():
        found.setdefault(str(meta.info.get("environment")), []).append(meta.info)
    return found


def rivals(config: DemonstratedConfig, dataset: Dataset, folder: Path) -> Iterator[Rival]:
    """Every policy of the comparison, learned where it has to be."""
    for name in config.policies:
        if name in LEARNED:
            place = model_folder(folder, name)
            console.print(f"[bold]{name}[/]: learn from {len(dataset)} demonstrations")
            encoder = "random-small" if name == "random-eyes" else config.encoder
            eyes = EncoderConfig(encoder, config.readout, config.device)
            training, cameras = training_of(config, name), config.cameras
            learn_chunks(dataset, eyes, training, place, folder / "cache", cameras)
            yield Rival(name, ChunkFactory(str(place), config.acting, config.device), True)
        elif name == "eyes-shut":
            place, shut = model_folder(folder, "chunk"), replace(config.acting, blind=True)
            yield Rival(name, ChunkFactory(str(place), shut, config.device), True)
        elif name == "replay":
            yield Rival(name, NamedPolicy(f"replay:{dataset.path}"), True, dataset.fingerprint)
        else:
            yield Rival(name, NamedPolicy(name), False)


def model_folder(folder: Path, name: str) -> Path:
    """Where a learned policy lies."""
    return folder / (MODEL if name == "chunk" else f"{MODEL}-{name}")


def training_of(config: DemonstratedConfig, name: str) -> ChunkTraining:
    """The training of one kind; they differ in one thing only."""
    network = config.training.network
    if name == "blind":
        network = replace(network, blind=True)
    if name == "flow":
        network = replace(network, head="flow")
    return replace(config.training, network=network)


def played(
    config: DemonstratedConfig,
    rival: Rival,
    task: str,
    folder: Path,
    workers: int,
    protocol: str | None = None,
) -> list[Row]:
    """Episodes of one policy and task; those that were finished before are not run again."""
    cameras = config.cameras if rival.looks else ()
    env = EnvConfig(task, protocol, cameras=cameras, size=config.size if cameras else None)
    seeds = -(-config.seeds // 2) if rival.name in config.brief else config.seeds
    trial = EvalConfig(env, tuple(range(seeds)), config.steps, workers)
    maker = rival.maker
    if isinstance(maker, NamedPolicy):
        maker = replace(maker, env_id=task)
    cache = EpisodeCache(folder / "rows.jsonl")
    films = {}
    suite = suite_of(env)
    if rival.name == "chunk":
        leaf = task_leaf(trial.task)
        named = {s: f"{suite.replace('_', '-')}-{leaf}-seed-{s}" for s in range(config.film)}
        films = {s: name for s, name in named.items() if not film_path(folder, name).exists()}
    found = assess_policy(trial, rival.name, maker, cache, film=[*films], data=rival.data)
    save_films(folder, {films[seed]: frames for seed, frames in found.films.items()})
    return [{**row, "suite": suite} for row in found.rows]


def successes(rows: Sequence[Row]) -> Summary:
    """Rates of success with Wilson intervals, of each task and of all, and paired differences.

    Keys: ``success/<policy>/<suite>``, ``success/<policy>/<suite>/<task>``, and
    ``chunk-minus-<rival>/<suite>`` of starts that both have played (bootstrap).
    """
    found: Summary = {}
    won = {
        (row["condition"], row["suite"], task_leaf(row["task"]), row["seed"]): float(
            bool(row["success"])
        )
        for row in rows
    }
    suites = dict.fromkeys(row["suite"] for row in rows)
    for name in dict.fromkeys(row["condition"] for row in rows):
        groups: dict[str, list[float]] = {}
        for (policy, suite, task, _), value in won.items():
            if policy == name:
                groups.setdefault(suite, []).append(value)
                groups.setdefault(f"{suite}/{task}", []).append(value)
        for group, values in groups.items():
            rate = wilson_interval(round(sum(values)), len(values))
            found[f"success/{name}/{group}"] = rate.as_dict()
    for rival, suite in product(RIVALS, suites):
        pairs = [
            (value, won[rival, *start])
            for (name, *start), value in won.items()
            if name == "chunk" and start[0] == suite and (rival, *start) in won
        ]
        if pairs:
            ours, theirs = zip(*pairs, strict=True)
            found[f"chunk-minus-{rival}/{suite}"] = paired_difference(ours, theirs).as_dict()
    return found


def suite_of(env: EnvConfig) -> str:
    """``metaworld`` of ``metaworld/push``, ``libero_spatial`` of ``libero/spatial/0``; with
    ``-widened`` where its protocol is LIBERO's ``wide``, with the name of any other unusual one.
    """
    suite = "_".join(full_id(env.id).split("/")[:-1])
    if env.protocol in (None, default_protocol(env.id)):
        return suite
    return f"{suite}-{'widened' if env.protocol == 'wide' else env.protocol}"


def task_leaf(task: str) -> str:
    """``push`` of ``metaworld:push``."""
    return task.rpartition(":")[2]
