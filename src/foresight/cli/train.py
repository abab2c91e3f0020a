"""``foresight train``: learn from a dataset, of any robot."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from foresight.perception.config import EncoderConfig
from foresight.training.ac_tuning import ACTuning
from foresight.training.chunk.train import ChunkTraining
from foresight.training.cloning import CloningTraining
from foresight.training.imagination_run import ActorTraining
from foresight.training.lewm.train import LeWMTraining
from foresight.training.loop import FitConfig
from foresight.training.offline import TrainConfig, Trained
from foresight.training.predictor.train import PredictorTraining
from foresight.worldmodel.config import StateKind

if TYPE_CHECKING:
    from foresight.data.dataset import Dataset


@dataclass(frozen=True)
class Config:
    """Train on a dataset: a world model (what actions change) or a policy (what was done).

    Encodes the dataset first if need be, and resumes where it stopped. To learn by acting, see
    `foresight learn`; from one video, `foresight teach`.
    """

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of a LeRobot dataset."""
    out: Path
    """Folder of the checkpoint."""
    policy: Literal["world-model", "predictor", "lewm", "bc", "chunk", "ac", "actor"] = (
        "world-model"
    )
    """world-model: state, dynamics and reward, to plan with; predictor: a frame-causal transformer
    of all tokens, see --predictor; bc: behaviour cloning of one action;
    chunk: decides many actions at once, for demonstrations, from still pictures
    (tubelet:grid=8,stride=0) where no readout is given; stride=1 shows it motion; ac: the
    predictor of V-JEPA 2-AC, fine-tuned to this robot, see --ac; actor: learned in a world model's
    imagination, without a real step, see --model and --actor; lewm: LeWorldModel, eyes and dynamics
    at once from pixels, see --lewm."""
    eyes: tyro.conf.OmitArgPrefixes[EncoderConfig] = field(default_factory=EncoderConfig)
    cameras: tuple[str, ...] = ()
    """Cameras to see with, side by side; all of the dataset if none is named."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Of the world model; its state is that of a cloned policy, too."""
    state: StateKind | None = None
    """Kind of the latent state, short for --train.state.kind. The adapter is learned, and values
    and an action prior with it, as by `foresight learn`: see --train.adapter."""
    predictor: PredictorTraining = field(default_factory=PredictorTraining)
    """Of a frame-causal predictor; torchrun shares its batches among GPUs."""
    bc: CloningTraining = field(default_factory=CloningTraining)
    chunk: ChunkTraining = field(default_factory=ChunkTraining)
    """Of a policy of action chunks."""
    ac: ACTuning = field(default_factory=ACTuning)
    """Of V-JEPA 2-AC's predictor."""
    actor: ActorTraining = field(default_factory=ActorTraining)
    """Of an actor that learns in imagination."""
    lewm: LeWMTraining = field(default_factory=LeWMTraining)
    """Of a LeWorldModel."""
    model: Path | None = None
    """actor: the world model it dreams in; the folder `model` beside the dataset if not given."""
    seed: int | None = None
    """Of weights, split and order, short for --train.fit.seed, --predictor.fit.seed,
    --bc.fit.seed, --chunk.fit.seed, --ac.fit.seed, --lewm.fit.seed, --actor.seed."""
    latent: int | None = None
    """Width of the latent state of the kinds pca and adapter, short for --train.state.dim."""
    horizon: int | None = None
    """Imagined steps in the loss, short for --train.horizon and --train.adapter.learner.horizon;
    of a dream, for --actor.dream.horizon."""
    members: int | None = None
    """Networks in the ensemble, short for --train.dynamics.members."""
    cache: Path | None = None
    """Where feature caches live; the folder `cache` beside the dataset if not given."""
    tensorboard: bool = False
    """Also log to TensorBoard."""


def main(config: Config) -> None:
    """Train and print what came of it, on held-out episodes."""
    from foresight.data.dataset import Dataset
    from foresight.perception.encode import encode_cameras
    from foresight.pipelines.stages import clone, learn
    from foresight.training.from_dataset import train_from_dataset

    if config.policy == "actor":
        _actor(config)
        return
    dataset = Dataset.open(config.dataset)
    if config.policy == "chunk":
        _chunk(config, dataset)
        return
    if config.policy in ("ac", "predictor"):
        (_ac if config.policy == "ac" else _predictor)(config, dataset)
        return
    if config.policy == "lewm":
        _lewm(config, dataset)
        return
    encoder, readout = config.eyes.load()
    train = _train(config, str(encoder.device))
    if config.policy == "world-model" and train.state.kind == "adapter":
        _print(train_from_dataset(dataset, config.eyes, train, config.out, config.cameras), config)
        return
    root = config.cache or config.dataset.parent / "cache"
    caches = encode_cameras(dataset, encoder, readout, root, config.cameras or None)
    if config.policy == "bc":
        training = replace(config.bc, fit=_fit(config.bc.fit, config, str(encoder.device)))
        state = train.state
        _, history = clone(dataset, caches, config.eyes, state, training, config.out)
        best = min(history, key=lambda record: record["validation/loss"])
        print("squared error of the actions, in units of half their range, held-out episodes:")
        print(f"cloned {best['validation/loss']:.4f}")
        print(f"mean action {best['validation/mean_action']:.4f}")
        print(f"checkpoint: {config.out}")
    else:
        _print(learn(dataset, caches, config.eyes, train, config.out, config.tensorboard), config)


def _print(trained: Trained, config: Config) -> None:
    print("horizon  model    persistence  (squared error / variance, held-out episodes)")
    for row in trained.horizon_errors:
        model, still = (sum(v) / len(v) for v in (row.model, row.persistence))
        print(f"{row.horizon:7d}  {model:.4f}   {still:.4f}")
    print(f"checkpoint: {config.out}")


def _chunk(config: Config, dataset: Dataset) -> None:
    """Train a policy of action chunks and show its errors beside those of baselines."""
    from foresight.perception.encoder import find_device
    from foresight.pipelines.imitation import learn_chunks
    from foresight.report.tables import print_held_out
    from foresight.training.chunk.train import ERRORS

    fit = _fit(config.chunk.fit, config, str(find_device(config.eyes.device)))
    root = config.cache or config.dataset.parent / "cache"
    training = replace(config.chunk, fit=fit)
    _, errors = learn_chunks(dataset, config.eyes, training, config.out, root, config.cameras)
    print_held_out(errors)
    print(f"all steps of the chunk: {config.out / ERRORS}\ncheckpoint: {config.out}")


def _ac(config: Config, dataset: Dataset) -> None:
    """Fine-tune V-JEPA 2-AC's predictor and show its error beside what it was before."""
    from foresight.perception.encoder import find_device
    from foresight.pipelines.ac_tuning import learn_ac

    training = replace(
        config.ac, fit=_fit(config.ac.fit, config, str(find_device(config.eyes.device)))
    )
    root = config.cache or config.dataset.parent / "cache"
    camera = config.cameras[0] if config.cameras else None
    _, history = learn_ac(dataset, training, config.out, root, camera)
    best = min(history, key=lambda record: record["validation/loss"])
    print("mean absolute error of the next frames' tokens, teacher-forced plus imagined, held-out:")
    for name, key in (("tuned", "loss"), ("before", "untuned"), ("persistence", "persistence")):
        print(f"{name} {best[f'validation/{key}']:.4f}")
    print(f"checkpoint: {config.out}")


def _predictor(config: Config, dataset: Dataset) -> None:
    """Train a frame-causal predictor and show its error beside persistence's."""
    from foresight.perception.encoder import find_device
    from foresight.pipelines.predictor import learn_predictor

    device = str(find_device(config.eyes.device))
    training = replace(config.predictor, fit=_fit(config.predictor.fit, config, device))
    root = config.cache or config.dataset.parent / "cache"
    camera = config.cameras[0] if config.cameras else None
    trained, history = learn_predictor(
        dataset, config.eyes.encoder, training, config.out, root, camera
    )
    best = min(history, key=lambda record: record["validation/loss"])
    print(f"{trained.config.sizes.parameters:,} parameters; error of tokens, teacher-forced plus")
    print("imagined, held-out episodes:")
    for name, key in (("predictor", "loss"), ("persistence", "persistence")):
        print(f"{name} {best[f'validation/{key}']:.4f}")
    print(f"checkpoint: {config.out}")


def _lewm(config: Config, dataset: Dataset) -> None:
    """Train a LeWorldModel and show whether it predicts and whether it collapsed."""
    from foresight.perception.encoder import find_device
    from foresight.pipelines.lewm import learn_lewm

    device = str(find_device(config.eyes.device))
    training = replace(config.lewm, fit=_fit(config.lewm.fit, config, device))
    root = config.cache or config.dataset.parent / "cache"
    model, history = learn_lewm(
        dataset, training, config.out, root, config.cameras, tensorboard=config.tensorboard
    )
    last = {name.removeprefix("validation/"): value for name, value in history[-1].items()}
    print("squared error of the next embedding, held-out episodes:")
    print(f"predicted {last['prediction']:.4f}\npersistence {last['persistence']:.4f}")
    print(f"effective rank {last['rank']:.1f} of {model.config.sizes.dim}")
    print(f"checkpoint: {config.out}")


def _actor(config: Config) -> None:
    """Learn an actor in imagination and show what it dreams of earning."""
    from foresight.perception.encoder import find_device
    from foresight.pipelines.dreaming import learn_actor

    training = config.actor
    if config.seed is not None:
        training = replace(training, seed=config.seed)
    if config.horizon is not None:
        training = replace(training, dream=replace(training.dream, horizon=config.horizon))
    device = str(find_device(config.eyes.device))
    found = learn_actor(config.dataset, config.model, training, config.out, device)
    print("updates  imagined return  doubted dreams  disagreement  (means since the line before)")
    for row in found.history[1:][:: max(1, (len(found.history) - 1) // 8)]:
        print(
            f"{int(row['updates']):7d}  {row['return']:15.3f}  {row['doubted']:14.1%}  "
            f"{row['disagreement']:.4f}"
        )
    print(f"checkpoint: {config.out}")


def _fit(fit: FitConfig, config: Config, device: str) -> FitConfig:
    return replace(fit, device=device, seed=fit.seed if config.seed is None else config.seed)


def _train(config: Config, device: str) -> TrainConfig:
    """The training with the short options put in."""
    found = config.train
    found = replace(found, fit=_fit(found.fit, config, device))
    if config.state is not None:
        found = replace(found, state=replace(found.state, kind=config.state))
    if config.latent is not None:
        found = replace(found, state=replace(found.state, dim=config.latent))
    if config.horizon is not None:
        learner = replace(found.adapter.learner, horizon=config.horizon)
        adapter = replace(found.adapter, learner=learner)
        found = replace(found, horizon=config.horizon, adapter=adapter)
    if config.members is not None:
        found = replace(found, dynamics=replace(found.dynamics, members=config.members))
    return found
