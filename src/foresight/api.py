"""What one does with Foresight, as functions: the front door of ``import foresight``.

Each is a few calls into the rooms, and the verb of the same name does no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from foresight.core.errors import ForesightError
from foresight.core.policy import Policy
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import Result, make_result
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import encode_cameras
from foresight.pipelines.acting import Acting, policy_of
from foresight.pipelines.imitation import learn_chunks
from foresight.pipelines.stages import clone, learn
from foresight.policies.chunk.policy import ChunkPolicy
from foresight.policies.cloned import ClonedPolicy
from foresight.policies.registry import MakePolicy
from foresight.rollout.collect import FIRST_SEED, plan_episodes
from foresight.rollout.collect import collect as run_plan
from foresight.rollout.tries import plan_successful
from foresight.training.chunk.train import ChunkTraining
from foresight.training.cloning import CloningTraining
from foresight.training.from_dataset import train_from_dataset
from foresight.training.offline import TrainConfig
from foresight.worldmodel.config import StateEncoderConfig
from foresight.worldmodel.model import WorldModel


def load_dataset(path: Path | str) -> Dataset:
    """Open a folder of episodes: any LeRobot dataset, v2.1 or v3.0, recorded by whatever program.

    >>> import foresight
    >>> dataset = foresight.load_dataset("recordings/cart")
    >>> len(dataset), dataset.spec.cameras
    (2, {'front': (32, 48), 'wrist': (24, 40)})
    >>> dataset.episode(0).action.shape[1]
    2

    Args:
        path: the folder, with ``meta/info.json`` in it.

    Raises:
        ForesightError: there is no dataset, or it is damaged; the sentence says how.
    """
    return Dataset.open(path)


def collect(
    env: str | EnvConfig,
    policy: str | Sequence[str],
    episodes: int,
    out: Path | str,
    *,
    seed: int = FIRST_SEED,
    max_steps: int | None = None,
    workers: int = 1,
    successful: bool = False,
) -> Dataset:
    """Record episodes into a LeRobot dataset; run again after a stop, it goes on where it was.

    >>> import foresight
    >>> dataset = foresight.collect("fake_robot:FakeRobot", "ar1:0.9", 2, "recordings/cart")
    >>> len(dataset)
    2

    Args:
        env: an id, MODULE:ENV, or a configuration.
        policy: a name such as ``random`` or ``eps:0.3:expert``; several take turns.
        episodes: how many.
        out: folder of the dataset.
        seed: of the first episode; the others follow.
        max_steps: cut episodes after so many decisions.
        workers: processes; the data do not depend on it.
        successful: keep episodes that succeed only; seeds are tried until there are enough.

    Raises:
        ForesightError: an unknown environment or policy, too few successes, or a folder that
            holds other episodes.
    """
    names = (policy,) if isinstance(policy, str) else tuple(policy)
    asked = (_config(env), episodes, names, seed, max_steps)
    specs = plan_successful(*asked, workers) if successful else plan_episodes(*asked)
    return run_plan(out, specs, workers)


def train(
    dataset: Dataset | Path | str,
    kind: Literal["world-model", "bc", "chunk"],
    out: Path | str,
    *,
    encoder: str = "foresight-small",
    cameras: Sequence[str] = (),
    epochs: int | None = None,
    device: str = "cpu",
    seed: int | None = None,
    config: TrainConfig | CloningTraining | ChunkTraining | None = None,
) -> WorldModel | ClonedPolicy | ChunkPolicy:
    """Encode a dataset and learn from it; run again after a stop, it goes on where it was.

    The defaults of ``foresight train``; ``config`` sets everything else.

    >>> import foresight
    >>> model = foresight.train("recordings/cart", "world-model", "runs/cart", epochs=1)
    >>> [axis.name for axis in model.config.spec.action]
    ['action_0', 'action_1']

    Args:
        dataset: of any robot, or its folder; features are cached beside it.
        kind: ``world-model`` (what actions change) or ``bc`` (behaviour cloning)
            or ``chunk`` (a transformer that decides chunks of actions, for demonstrations).
        out: folder of the checkpoint, which :func:`foresight.load` opens again.
        encoder: a bundled encoder's name, a folder, file or hub id.
        cameras: to see with; all of the dataset's if none is named.
        epochs: passes over the training episodes, if not the usual number.
        device: where encoder and networks run.
        seed: of weights, split and order; the configuration's, which is usually 0, if not given.
        config: of the kind. A world model whose state is an adapter
            (``TrainConfig(state=StateEncoderConfig("adapter"))``) learns in updates, not passes.

    Raises:
        ForesightError: an unknown kind or a configuration of another one, too few episodes, or
            another training's folder.
    """
    if kind not in _TRAININGS:
        raise ForesightError(f"There is no training {kind!r}: choose world-model, bc or chunk.")
    found = config if config is not None else _TRAININGS[kind]()
    if not isinstance(found, _TRAININGS[kind]):
        raise ForesightError(
            f"A {type(found).__name__} does not configure the training {kind!r}: give a "
            f"{_TRAININGS[kind].__name__}."
        )
    data = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    eyes = EncoderConfig(encoder, device=device)
    root = data.path.parent / "cache"

    fit = replace(found.fit, device=device, epochs=epochs or found.fit.epochs)
    fit = replace(fit, seed=fit.seed if seed is None else seed)
    found, folder = replace(found, fit=fit), Path(out)
    if isinstance(found, ChunkTraining):
        if epochs:  # passes, not checks of a number of updates
            found = replace(found, fit=replace(fit, updates=0))
        return ChunkPolicy(learn_chunks(data, eyes, found, folder, root, cameras)[0])
    if isinstance(found, TrainConfig) and found.state.kind == "adapter":
        return train_from_dataset(data, eyes, found, folder, cameras).model
    loaded, readout = eyes.load()
    caches = encode_cameras(data, loaded, readout, root, cameras or None)
    if isinstance(found, TrainConfig):
        return learn(data, caches, eyes, found, folder).model
    return clone(data, caches, eyes, StateEncoderConfig(), found, folder)[0]


_TRAININGS: dict[str, type[TrainConfig | CloningTraining | ChunkTraining]] = {
    "world-model": TrainConfig,
    "bc": CloningTraining,
    "chunk": ChunkTraining,
}


def evaluate(
    policy: Policy | MakePolicy | Path | str,
    env: str | EnvConfig,
    *,
    episodes: int = 20,
    baselines: Sequence[str] = ("zero", "random"),
    name: str = "policy",
    out: Path | str | None = None,
    max_steps: int | None = None,
    workers: int = 1,
    device: str = "cpu",
) -> Result:
    """Let a policy act on the seeds 0, 1, ... beside its baselines on the same seeds.

    >>> import foresight
    >>> result = foresight.evaluate("ar1:0.9", "fake_robot:FakeRobot", episodes=2)
    >>> sorted(result.conditions)
    ['policy', 'random', 'zero']

    Args:
        policy: a name such as ``random``; the folder of a checkpoint; a :class:`foresight.Policy`;
            or a function of the robot's spec that makes one (a class will do), which more than one
            worker needs.
        env: an id, MODULE:ENV, or a configuration.
        episodes: how many.
        baselines: any of ``zero``, ``random``, ``constant``, ``expert``, ``oracle``; the last two
            only where a simulator's task has them.
        name: of the policy in tables.
        out: a JSON file for the result, if it is to be kept.
        max_steps: cut episodes after so many decisions.
        workers: processes; the numbers do not depend on it.
        device: where a checkpoint's networks run.

    Raises:
        ForesightError: no episodes, an unknown environment, policy or baseline, or a policy that
            does not fit the robot.
    """
    if episodes < 1:
        raise ForesightError(f"{episodes} episodes were asked for: evaluate on at least 1.")
    acting = _acting(policy, _config(env), name, workers, device)
    config = EvalConfig(acting.env, tuple(range(episodes)), max_steps, workers)
    cache = EpisodeCache()
    rows = assess_policy(config, name, acting.maker, cache).rows
    rows += paired_baselines(config, baselines, cache)
    settings = {"policy": str(policy), "evaluation": config}
    result = make_result("evaluation", settings, config.protocol, rows)
    if out is not None:
        result.save(Path(out))
    return result


class _Ready:
    """A policy that exists already, for those who ask for one to be made."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __call__(self, spec: Spec) -> Policy:
        return self.policy


def _acting(policy: Any, env: EnvConfig, name: str, workers: int, device: str) -> Acting:
    if isinstance(policy, str | Path):
        return policy_of(str(policy), env, device=device)
    if isinstance(policy, Policy):
        if workers != 1:
            raise ForesightError(
                f"A {type(policy).__name__} that exists cannot act in {workers} processes: give "
                "what makes it (its class, say), or one worker."
            )
        return Acting(_Ready(policy), env, name)
    if not callable(policy):
        raise ForesightError(
            f"{policy!r:.80} is no policy: give a name, a checkpoint's folder, a Policy, or a "
            "function of a spec that makes one."
        )
    return Acting(policy, env, name)


def _config(env: str | EnvConfig) -> EnvConfig:
    return env if isinstance(env, EnvConfig) else EnvConfig(env)
