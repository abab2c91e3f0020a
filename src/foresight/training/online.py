"""Data that improves itself: act, remember, learn, act better (Dyna; Sutton 1991)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, disk_errors, fingerprint, late
from foresight.core.machine import torch_threads
from foresight.core.metrics import MetricsLog, read_json_lines
from foresight.core.progress import track
from foresight.core.stopwatch import Stopwatch
from foresight.core.thread_pool import lane_pool
from foresight.core.training_state import load_training, save_training
from foresight.envs.dmc.tasks import canonical
from foresight.perception.encoder import Encoder, load_encoder
from foresight.policies.mpc import ImagineConfig, Imaginer
from foresight.rollout.arena import Arena, Decide, Led, Recorded, Rolled, Teacher, Wander
from foresight.training.learner import Learner
from foresight.training.learner_config import LearnerConfig
from foresight.training.replay import Replay
from foresight.training.rounds import read_round
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.model import WorldModel, initialise
from foresight.worldmodel.observation import ObservationEncoder
from foresight.worldmodel.state import AdapterState

FIRST_SEED = 1_000_000
"""Training episodes start here: apart from every seed of evaluation."""
STATE = "learning.safetensors"
AXES_PICTURES = 4096
"""Pictures that the axes are fitted on, at least, where there are as many."""


@dataclass(frozen=True)
class ImproveConfig:
    """How long an agent learns, from what, and how large its networks are."""

    task: str = "reacher-easy"
    """Task id."""
    protocol: str = "seed200"
    """Length of episodes."""
    encoder: str = "foresight-small"
    """Frozen eyes."""
    steps: int = 100_000
    """Environment steps in all."""
    start: int = 16
    """Episodes of random decisions to begin with, part of the steps."""
    teacher: str | None = "oracle"
    """Who shows the task in the first episodes: expert, oracle, or nobody."""
    demonstrations: int = 48
    """Episodes led by the teacher, after the random ones; part of the steps."""
    lapse: int = late(0)
    """Mean decisions between two lapses of a teacher that leads (see `Led`); 0 for none."""
    relabel: float = 0.0
    """Share of the later rounds in which the teacher is asked, too, what it would have done
    (DAgger; Ross et al. 2011, arXiv 1011.0686)."""
    senses: bool = True
    """Read proprioception off the state while training: a dense lesson in where things are."""
    length: int | None = None
    """Environment steps of a training episode, the protocol's if not given. Short ones show more
    goals and starts for the same steps, and what has many goals cannot be learnt by heart."""
    parallel: int = 8
    """Episodes side by side."""
    repeat: int = 2
    """Environment steps for which a decision is held."""
    lessons: int = 3000
    """Lessons of the first study, in which the adapter learns to see."""
    studies: int = 3
    """Later studies, spread evenly over the rounds, each of a third as many lessons."""
    updates: float = 0.25
    """Updates for each decision collected."""
    settle: int = 10_000
    """Updates of the dynamics alone when everything is collected and nothing else moves."""
    latent: int = 128
    """Width of the latent state."""
    hidden: int = 256
    """Width of the networks behind it."""
    members: int = 5
    """Dynamics in the ensemble."""
    axes: int = 48
    """Numbers kept of each token."""
    history: int = 2
    """Pictures that a state is read from."""
    discount: float = 0.97
    """γ of one decision."""
    seed: int = 0
    """Of episodes, weights and search."""
    learn: LearnerConfig = field(default_factory=LearnerConfig)
    """The updates."""
    search: ImagineConfig = field(
        default_factory=lambda: ImagineConfig(
            members=2, samples=64, iterations=3, prior_samples=16, trust=0.0
        )
    )
    """The search while collecting."""
    save_every: int = 8
    """Rounds between two saved states."""


class Improvement:
    """The loop, resumable: every finished round of episodes is kept as a file.

    Args:
        config: what to learn.
        folder: for rounds, state, ``metrics.jsonl`` and the checkpoint.
        on_round: called after every round, for example to evaluate.

    Raises:
        ForesightError: unknown task or encoder, a folder of another run, or no disk space.
    """

    def __init__(
        self,
        config: ImproveConfig,
        folder: Path,
        on_round: Callable[[Improvement], None] | None = None,
    ) -> None:
        self.config, self.folder = replace(config, task=canonical(config.task)), folder
        self.on_round = on_round
        self.encoder: Encoder = load_encoder(config.encoder)
        self.watch = Stopwatch()
        self.arena = Arena(
            config.task,
            config.protocol,
            config.repeat,
            config.parallel,
            config.length,
            self.encoder.image_size,
            self.watch,
        )
        with disk_errors(folder):
            (folder / "rounds").mkdir(parents=True, exist_ok=True)
        self.model: WorldModel
        self.rounds = 0
        self._told: Teacher | None = None

    @property
    def steps(self) -> int:
        """Environment steps seen so far."""
        return self.replay.decisions * self.config.repeat

    def run(self) -> WorldModel:
        """Learn until the steps are spent; leaves the checkpoint in the folder."""
        config, decisions = self.config, self.arena.decisions
        with self.arena:
            self._begin()
            total = -(-config.steps // (decisions * config.repeat * config.parallel))
            for number in track(range(self.rounds, total), f"{config.task}: act and learn"):
                rolled = self._collect(number)
                with self.watch.stage("learn"), torch_threads(1):
                    self._remember(rolled)
                    logs: dict[str, float] = {}
                    if number + 1 >= self._first_rounds:
                        count = round(config.updates * decisions * len(rolled.rewards))
                        first = number + 1 == self._first_rounds
                        logs = self._study(number, total)
                        logs |= self._update(count * self._first_rounds if first else count)
                    if number + 1 == total:
                        logs |= self._settle()
                self.rounds = number + 1
                self._report(rolled, logs)
                if self.rounds % config.save_every == 0 or self.rounds == total:
                    self._save()
                if self.on_round:
                    self.on_round(self)
        return self.model.eval()

    @property
    def _random_rounds(self) -> int:
        return max(1, self.config.start // self.config.parallel)

    @property
    def _first_rounds(self) -> int:
        """Rounds before the agent itself acts."""
        return self._random_rounds + self.config.demonstrations // self.config.parallel

    def _begin(self) -> None:
        """Fit the axes on the first episodes, build everything, and resume."""
        config = self.config
        torch.manual_seed(config.seed)
        if not (self.folder / "config.json").exists():
            with self.watch.stage("collect"):
                self._start()
        else:
            self.model = WorldModel.load(self.folder).train()
        self.model.expect_encoder(self.encoder.fingerprint)
        self.learner = Learner(self.model, config.learn, config.seed)
        sizes = self.model.config
        room = config.steps // (self.arena.decisions * config.repeat) + 2 * config.parallel
        self.replay = Replay(
            room * (self.arena.decisions + 1),
            self.model.features,
            sizes.actions,
            sizes.heads.proprio,
            self.model.latent,
        )
        self.log = MetricsLog(self.folder / "metrics.jsonl")
        self._resume()

    def _start(self) -> None:
        """Act at random and as the teacher does, and build the model that can see this."""
        parts = self._first_episodes()
        every = max(1, sum(part.features[..., 0, 0].numel() for part in parts) // AXES_PICTURES)
        tokens = torch.cat([part.features.flatten(0, 1)[::every] for part in parts])
        senses = torch.cat([part.senses.flatten(0, 1) for part in parts])
        self._build(tokens.shape[1:], senses.shape[-1])
        assert isinstance(self.model.state, AdapterState)
        self.model.state.fit(tokens)
        if self.model.proprio is not None:
            self.model.proprio.fit(senses)
        initialise(self.model)
        for number, part in enumerate(parts):
            numbers = self.model.state.stack(self.model.state.compress([part.features]))
            self._write_round(number, replace(part, features=numbers))
        self.model.save(self.folder)  # last: from here on a killed run resumes

    def _first_episodes(self) -> list[Rolled]:
        """Rounds of those who act without looking; while one is played, the last is looked at.

        So the stage ``encode`` is what the simulator had to wait for.
        """
        config = self.config

        def look(recorded: Recorded) -> Rolled:
            rolled = recorded.seen(ObservationEncoder(self.encoder))
            return replace(rolled, features=rolled.features.bfloat16())

        looking: list[Future[Rolled]] = []
        lane = lane_pool(torch.get_num_threads())  # whose threads leave the others their cores
        for number in track(range(self._first_rounds), f"{config.task}: first episodes"):
            wander = Wander(len(self.arena.low), seed=config.seed + number)
            led = number >= self._random_rounds
            decide: Decide = (
                Led(self._teacher(), wander, number, lapse=config.lapse) if led else wander
            )
            teacher = self._teacher() if led or self._asks(number) else None
            recorded = self.arena.record(self._seeds(number), decide, teacher)
            with self.watch.stage("encode"):
                for last in looking[-1:]:
                    last.result()
            looking.append(lane.submit(look, recorded))
        with self.watch.stage("encode"):
            return [each.result() for each in looking]

    def _asks(self, number: int) -> bool:
        """Whether the teacher is asked in a round that it does not lead; spread evenly."""
        share = self.config.relabel
        return int((number + 1) * share) > int(number * share)

    def _teacher(self) -> Teacher:
        """The one teacher of this run.

        Raises:
            ForesightError: nobody was named.
        """
        if self.config.teacher is None:
            raise ForesightError(
                "Demonstrations and relabelling need a teacher: name expert or oracle."
            )
        if self._told is None:
            self._told = Teacher(self.config.teacher, self.config.task, self.config.parallel)
        return self._told

    def _build(self, shape: torch.Size, senses: int) -> None:
        config = self.config
        self.model = WorldModel(
            WorldModelConfig(
                task=config.task,
                actions=len(self.arena.low),
                action_low=tuple(map(float, self.arena.low)),
                action_high=tuple(map(float, self.arena.high)),
                cameras=(CameraInput("camera", shape[0], shape[1]),),
                state=StateEncoderConfig(
                    "adapter",
                    dim=config.latent,
                    history=config.history,
                    n_components=config.axes,
                ),
                dynamics=DynamicsConfig(
                    "simnorm", members=config.members, hidden=config.hidden, layers=2
                ),
                heads=HeadsConfig(hidden=config.hidden, proprio=senses if config.senses else 0),
                discount=config.discount,
                repeat=config.repeat,
                encoder=self.encoder.name,
                encoder_fingerprint=self.encoder.fingerprint,
                spec=self.arena.envs[0].interface,
            )
        )

    def _resume(self) -> None:
        identity = fingerprint({"config": self.config, "encoder": self.encoder.fingerprint})
        self.identity = identity
        logged = read_json_lines(self.log.path)
        if logged:  # rounds that are to be learned from again were paid for, too
            self.watch.go_on(logged[-1])
        state = load_training(self.folder / STATE, identity)
        if state is None:
            return
        self.model.load_state_dict(state.part("model"))
        self.learner.target.load_state_dict(state.part("target"))
        state.restore(self.learner.optimizer)
        names = ("rounds", "updates", "studies")
        self.rounds, self.learner.updates, self.learner.phases = (
            int(state.notes[name]) for name in names
        )
        for number in range(self.rounds):
            self._remember(read_round(self._round_file(number)))
        self.learner.refresh(self.replay)
        self.log.rewind(self.rounds)

    def _save(self) -> None:
        parts = {"model": self.model.state_dict(), "target": self.learner.target.state_dict()}
        counts = {
            "rounds": self.rounds,
            "updates": self.learner.updates,
            "studies": self.learner.phases,
        }
        notes = {name: str(count) for name, count in counts.items()}
        save_training(self.folder / STATE, self.identity, parts, self.learner.optimizer, notes)
        self.model.save(self.folder)

    def _seeds(self, number: int) -> range:
        first = FIRST_SEED + 100_000 * self.config.seed + number * self.config.parallel
        return range(first, first + self.config.parallel)

    def _round_file(self, number: int) -> Path:
        return self.folder / "rounds" / f"{number:05}.safetensors"

    def _write_round(self, number: int, rolled: Rolled) -> None:
        tensors = {name: value.contiguous() for name, value in vars(rolled).items()}
        tensors["features"] = tensors["features"].bfloat16()
        atomic_write(self._round_file(number), lambda path: save_file(tensors, path))

    def _collect(self, number: int) -> Rolled:
        if self._round_file(number).exists():  # of the start, or acted before the run was killed
            return read_round(self._round_file(number))
        with self.watch.stage("collect"):
            self.model.eval()
            imaginer = Imaginer(self.model, self.config.search, seed=self.config.seed + number)
            rolled = self.arena.roll(
                self._seeds(number),
                ObservationEncoder(self.encoder, self.model.state),
                lambda features: imaginer.act(features, explore=True),
                self._teacher() if self._asks(number) else None,
            )
            self.model.train()
            self._write_round(number, rolled)
        return rolled

    def _remember(self, rolled: Rolled) -> None:
        for i in range(len(rolled.actions)):
            self.replay.add(
                rolled.features[i],
                rolled.actions[i],
                rolled.rewards[i],
                proprio=rolled.senses[i],
                expert_actions=rolled.taught[i],
            )

    def _study(self, number: int, total: int) -> dict[str, float]:
        """Lessons where they are due; else only the new episodes' states are read."""
        config, done = self.config, number + 1 - self._first_rounds
        every = max(1, (total - self._first_rounds) // (config.studies + 1))
        with self.watch.stage("study"):
            if done == 0:
                return self.learner.learn_representation(self.replay, config.lessons)
            if done % every == 0 and done // every <= config.studies:
                return self.learner.learn_representation(self.replay, config.lessons // 3, rate=0.5)
            self.learner.refresh(self.replay, since=len(self.replay) - config.parallel)
            return {}

    def _update(self, count: int) -> dict[str, float]:
        """Mean of what ``count`` updates log."""
        sums: dict[str, torch.Tensor] = {}
        with self.watch.stage("update"):
            for _ in range(count):
                for name, value in self.learner.update(self.replay).items():
                    sums[name] = sums.get(name, torch.zeros(())) + value
        return {name: float(value) / max(1, count) for name, value in sums.items()}

    def _settle(self) -> dict[str, float]:
        if not self.config.settle:
            return {}
        with self.watch.stage("settle"):
            return self.learner.finetune_dynamics(self.replay, self.config.settle)

    def _report(self, rolled: Rolled, logs: dict[str, float]) -> None:
        returns = rolled.rewards.sum(1)
        values = {"steps": self.steps, "return": float(returns.mean()), **logs}
        self.log.write(self.rounds, **values, **self.watch.numbers())


def improve(
    config: ImproveConfig,
    folder: Path,
    on_round: Callable[[Improvement], None] | None = None,
) -> WorldModel:
    """Learn a task from pixels; see `Improvement`.

    Raises:
        ForesightError: as `Improvement`.
    """
    if config.steps < 1 or config.updates < 0 or config.parallel < 1 or config.start < 1:
        raise ForesightError(
            f"Learning for {config.steps} steps with {config.parallel} episodes side by side, "
            f"{config.start} random ones and {config.updates} updates per decision is refused: "
            "give positive numbers."
        )
    return Improvement(config, folder, on_round).run()
