"""One policy for ten tasks of Meta-World, beside what can be had without eyes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from foresight.core.progress import console
from foresight.data.dataset import Dataset
from foresight.data.layout import is_dataset
from foresight.envs.metaworld.tasks import NAMESPACE
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary, paired_difference, wilson_interval
from foresight.perception.config import EncoderConfig
from foresight.pipelines.imitation import learn_chunks
from foresight.policies import MakePolicy, NamedPolicy
from foresight.policies.chunk.config import NetworkConfig
from foresight.policies.chunk.policy import ChunkActing, ChunkFactory
from foresight.rollout.collect import collect
from foresight.rollout.tries import plan_successful
from foresight.training.chunk.train import ChunkTraining
from foresight.training.loop import FitConfig
from studies.registry import Request

TASKS = (
    "push",
    "pick-place",
    "drawer-open",
    "door-open",
    "button-press",
    "window-close",
    "peg-insert-side",
    "reach",
    "drawer-close",
    "window-open",
)
SUITE = "metaworld"
LEARNED = ("chunk", "blind", "flow", "random-eyes")
"""The chunk policy; learned with visual tokens that are zero; flow matching; untrained eyes."""
UNLEARNED = ("replay", "zero", "random", "expert")
RIVALS = ("blind", "replay", "random-eyes")
"""What the policy is compared with, start by start."""


@dataclass(frozen=True)
class MetaWorldConfig:
    """Demonstrations, training and evaluation."""

    tasks: tuple[str, ...] = TASKS
    policies: tuple[str, ...] = (*LEARNED, *UNLEARNED)
    episodes: int = 50
    """Demonstrations of each task, successful ones."""
    demonstrator: str = "noisy:0.4:expert"
    """Meta-World's script, disturbed; what it would have done itself is what is learned."""
    cameras: tuple[str, ...] = ("close", "gripper")
    size: int = 64
    encoder: str = "foresight-small"
    readout: str = "tubelet:stride=0"
    training: ChunkTraining = field(default_factory=ChunkTraining)
    acting: ChunkActing = field(default_factory=ChunkActing)
    seeds: int = 20
    """Starts of each task, seeds 0, 1, …; demonstrations have seeds from 20,000 on."""
    steps: int | None = None
    """Cut episodes short (smoke runs)."""


def presets() -> dict[str, MetaWorldConfig]:
    """The named sizes."""
    full = MetaWorldConfig()
    tiny = ChunkTraining(
        network=NetworkConfig(chunk=8, width=32, layers=1, feedforward=64),
        fit=FitConfig(epochs=1, updates=4, batch=8),
    )
    smoke = replace(
        full,
        tasks=("reach", "button-press"),
        policies=("chunk", "blind", "replay", "zero", "expert"),
        episodes=2,
        training=tiny,
        seeds=2,
        steps=20,
    )
    return {"full": full, "smoke": smoke}


class Rival(NamedTuple):
    """One kind of policy in the comparison."""

    name: str
    maker: MakePolicy
    looks: bool
    data: str | None = None


def reproduce(request: Request) -> Result:
    """Collect, learn and compare; a stopped run goes on."""
    config = presets()["smoke" if request.smoke else "full"]
    config = replace(
        config,
        tasks=request.tasks or config.tasks,
        episodes=request.episodes or config.episodes,
        seeds=request.seeds or config.seeds,
        encoder=request.encoder,
    )
    folder, workers = request.folder, request.processes
    dataset = demonstrations(config, folder / "demonstrations", workers)
    rows: list[Row] = []
    for rival in rivals(config, dataset, folder, request.device):
        for task in config.tasks:
            rows += played(config, rival, task, folder, workers)
    return make_result(
        "metaworld",
        {**asdict(config), "labels": ["own scripted demonstrations", "fast rendering"]},
        "first-success",
        rows,
        successes(rows),
    )


def demonstrations(config: MetaWorldConfig, folder: Path, workers: int) -> Dataset:
    """Successful episodes of every task, collected once."""
    if is_dataset(folder) and len(found := Dataset.open(folder)) == config.episodes * len(
        config.tasks
    ):
        return found  # it need not be tried again which seeds succeed
    specs = []
    for task in config.tasks:
        env = EnvConfig(NAMESPACE + task, cameras=config.cameras, size=config.size)
        specs += plan_successful(env, config.episodes, (config.demonstrator,), workers=workers)
    return collect(folder, specs, workers)


def rivals(config: MetaWorldConfig, dataset: Dataset, folder: Path, device: str) -> Iterable[Rival]:
    """Every policy of the comparison, learned where it has to be."""
    for name in config.policies:
        if name in LEARNED:
            console.print(f"[bold]{name}[/]: learn from {len(dataset)} demonstrations")
            encoder = "random-small" if name == "random-eyes" else config.encoder
            eyes = EncoderConfig(encoder, config.readout, device)
            learn_chunks(dataset, eyes, training_of(config, name), folder / name, folder / "cache")
            yield Rival(name, ChunkFactory(str(folder / name), config.acting, device), True)
        elif name == "replay":
            maker = NamedPolicy(f"replay:{dataset.path}", None)
            yield Rival(name, maker, True, dataset.fingerprint)
        else:
            yield Rival(name, NamedPolicy(name, None), False)


def training_of(config: MetaWorldConfig, name: str) -> ChunkTraining:
    """The training of one kind; they differ in one thing only."""
    network = config.training.network
    if name == "blind":
        network = replace(network, blind=True)
    if name == "flow":
        network = replace(network, head="flow")
    return replace(config.training, network=network)


def played(
    config: MetaWorldConfig, rival: Rival, task: str, folder: Path, workers: int
) -> list[Row]:
    """Episodes of one policy and task; those that were finished before are not run again."""
    cameras = config.cameras if rival.looks else ()
    env = EnvConfig(NAMESPACE + task, cameras=cameras, size=config.size if cameras else None)
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
    maker = rival.maker
    if isinstance(maker, NamedPolicy):
        maker = replace(maker, env_id=env.id)
    cache = EpisodeCache(folder / "rows.jsonl")
    return assess_policy(trial, rival.name, maker, cache, data=rival.data).rows


def successes(rows: Sequence[Row]) -> Summary:
    """Rates of success with Wilson intervals, of each task and of all, and paired differences."""
    found: Summary = {}
    won = {(r["condition"], r["task"], r["seed"]): float(bool(r["success"])) for r in rows}
    for name in dict.fromkeys(r["condition"] for r in rows):
        own = {key: value for key, value in won.items() if key[0] == name}
        tasks = dict.fromkeys(key[1] for key in own)
        groups = {
            task.replace(":", "/"): [v for k, v in own.items() if k[1] == task] for task in tasks
        }
        for suite, values in {SUITE: list(own.values()), **groups}.items():
            rate = wilson_interval(round(sum(values)), len(values))
            found[f"success/{name}/{suite}"] = rate.as_dict()
    for rival in RIVALS:
        pairs = [
            (value, won[rival, task, seed])
            for (name, task, seed), value in won.items()
            if name == "chunk" and (rival, task, seed) in won
        ]
        if pairs:
            difference = paired_difference(*zip(*pairs, strict=True))
            found[f"chunk-minus-{rival}/{SUITE}"] = difference.as_dict()
    return found
