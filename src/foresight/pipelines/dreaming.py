"""From a trained world model and its episodes to an actor that needs no search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint
from foresight.core.metrics import Row, read_metrics
from foresight.core.progress import track
from foresight.data.dataset import Dataset
from foresight.pipelines.tracks import DatasetTracks, LookedAt
from foresight.policies.actor import Actor
from foresight.training.imagination_run import ActorTrainer, ActorTraining, replay_of
from foresight.training.replay import Replay, latents
from foresight.training.run_data import DATA, MODEL, FeatureFiles, load_replay, without_pictures
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.state import AdapterState


@dataclass(frozen=True)
class Dreamt:
    """An actor and what its training logged."""

    actor: Actor
    history: list[Row]


def learn_actor(
    source: Path,
    folder: Path | None,
    config: ActorTraining,
    out: Path,
    device: str = "cpu",
) -> Dreamt:
    """Learn an actor in a model, beginning where its episodes were; resumable.

    Args:
        source: dataset whose states dreams begin at: the one that the model was learned from, or
            another of the same robot.
        folder: of the model; ``model`` beside the dataset if not given.
        config: how.
        out: folder of the actor.
        device: where it learns.

    Raises:
        ForesightError: no model, one that predicts no reward or needs a history, a dataset that
            does not fit it, or a folder of another training.
    """
    folder = folder or source.parent / MODEL
    if not folder.is_dir():
        raise ForesightError(
            f"There is no world model in {folder}: name the one to dream in with --model."
        )
    dataset = Dataset.open(source)
    model = WorldModel.load(folder).to(torch.device(device))
    replay = states_of(model, folder, dataset, source, device)
    about = {"weights": file_fingerprint(folder / "model.safetensors"), "data": dataset.fingerprint}
    actor = ActorTrainer(model, replay, config, out, **about).run()
    return Dreamt(actor, read_metrics(out / "metrics.jsonl"))


def states_of(
    model: WorldModel, folder: Path, dataset: Dataset, source: Path, device: str = "cpu"
) -> Replay:
    """Latent states of a dataset's episodes, as a model sees them; kept features are used.

    Args:
        model: trained.
        folder: of its checkpoint.
        dataset: of the robot that it was made for.
        source: its folder; features are kept in ``cache/`` beside it, or beside the model.
        device: where an encoder runs, if pictures have to be looked at.

    Raises:
        ForesightError: a dataset of another robot or rate.
    """
    of_a_run = source.name == DATA and bool(len(dataset)) and "round" in dataset.metas[0].info
    if of_a_run and isinstance(model.state, AdapterState):
        return load_replay(model, source.parent)
    found = _kept(model, folder, dataset)
    if found is None:
        tracks = DatasetTracks(LookedAt(folder, device=device), dataset, source)
        seen = [tracks.track(i) for i in track(range(len(dataset)), "look")]
        found = [(one.inputs, one.controls) for one in seen]
    return replay_of(found, [bool(meta.terminated) for meta in dataset.metas])


def _kept(
    model: WorldModel, folder: Path, dataset: Dataset
) -> list[tuple[Float[Tensor, "T Z"], Float[Tensor, "T A"]]] | None:
    """States and actions by what a training left in the model's folder; None where that lacks."""
    state = model.state
    if not isinstance(state, AdapterState) or dataset.fingerprint != (
        model.config.dataset_fingerprint
    ):
        return None
    files, found = FeatureFiles(folder, model), []
    for number, episode in enumerate(without_pictures(dataset)):
        kept = files.read(number)
        if kept is None:
            return None
        own = torch.from_numpy(episode.state) if state.proprio else None
        z = latents(model, state.stack(state.join(kept[0], own)))
        found.append((z, model.normalised(torch.from_numpy(episode.action)).cpu()))
    return found
