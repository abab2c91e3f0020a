"""What an online run has lived through: a dataset of its episodes, and features beside it.

``RUN/data`` is a LeRobotDataset with frames, the only copy of what happened. ``RUN/cache`` holds
what a frozen encoder sees in them, a file for each round; it can be removed and made again, also
with another encoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, fingerprint
from foresight.core.observation import STATE_KEY
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.data.features import ACTION, REWARD
from foresight.data.layout import is_dataset
from foresight.perception.encoder import Encoder, load_encoder
from foresight.training.replay import Replay
from foresight.training.shifts import all_views, by_scene
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder
from foresight.worldmodel.state import AdapterState

DATA, CACHE, MODEL, KEPT = "data", "cache", "model", "kept"
"""Folders of a run."""
EXPERT = "action.expert"


class RunData:
    """The episodes of a run, in rounds of as many as play side by side.

    They are written behind the back of who plays on; `flush` waits for that.

    Args:
        folder: of the run.
        spec: of the robot.
        codec: of the frames.

    Raises:
        ForesightError: there is a dataset of another robot.
    """

    def __init__(self, folder: Path, spec: Spec, codec: str) -> None:
        self.dataset = Dataset.open_or_create(folder / DATA, spec, codec=codec)
        self._writer = ThreadPoolExecutor(1, "episodes")
        self._writing: list[Future[None]] = []
        self._numbers: list[Episode] | None = None
        self._known = {int(meta.info["seed"]): i for i, meta in enumerate(self.dataset.metas)}

    def close(self) -> None:
        """Wait for what is being written and finish the dataset."""
        try:
            self.flush()
            self.dataset.finish()  # also after a writer that was killed with nothing left to add
            self.dataset.close()
        finally:
            self._writer.shutdown()

    def holds(self, seeds: Sequence[int]) -> bool:
        """Whether the episodes of these seeds are all on the disk."""
        return all(seed in self._known for seed in seeds)

    def stored(self, seeds: Sequence[int], images: bool) -> list[Episode]:
        """Episodes of these seeds, read back."""
        return [self._read(self._known[seed], images) for seed in seeds]

    def add(self, episodes: Sequence[Episode]) -> None:
        """Store a round; those of its episodes that are there already stay as they are."""
        fresh = [each for each in episodes if int(each.info["seed"]) not in self._known]
        for episode in fresh:
            self._known[int(episode.info["seed"])] = len(self._known)
            self._writing.append(self._writer.submit(self._append, episode))

    def flush(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            ForesightError: an episode could not be written.
        """
        for each in self._writing:
            each.result()
        self._writing.clear()

    def _append(self, episode: Episode) -> None:
        self.dataset.append(episode)

    def _read(self, index: int, images: bool) -> Episode:
        if images:
            return self.dataset.episode(index)
        if self._numbers is None:
            self._numbers = without_pictures(self.dataset)
        return self._numbers[index]


def without_pictures(dataset: Dataset) -> list[Episode]:
    """The numbers of all episodes; each column is read once."""
    wanted = [ACTION, *(n for n in (REWARD, STATE_KEY, EXPERT) if dataset.has(n))]
    columns = {name: dataset.column(name).astype(np.float32) for name in wanted}
    columns.setdefault(STATE_KEY, np.zeros((len(columns[ACTION]), 0), np.float32))
    ends = itertools.pairwise(dataset.offsets)
    found = []
    for meta, (start, end) in zip(dataset.metas, ends, strict=True):
        own = {name: values[start:end] for name, values in columns.items()}
        state, action = own[STATE_KEY], own[ACTION]
        found.append(
            Episode(
                images={},
                state=state.reshape(len(action), -1),
                action=action.reshape(len(action), -1),
                reward=own[REWARD].reshape(-1) if REWARD in own else None,
                terminated=bool(meta.terminated),
                task=meta.task,
                fps=dataset.spec.fps,
                columns={EXPERT: own[EXPERT].reshape(len(action), -1)} if EXPERT in own else {},
                info=meta.info,
            )
        )
    return found


class FeatureFiles:
    """Numbers of every observation of a run as one frozen encoder and fixed axes see them.

    Args:
        folder: of the run.
        model: whose encoder and axes are meant.
        shifts: views of each picture beside it; with some, numbers are ``[V, t, f]``.
    """

    def __init__(self, folder: Path, model: WorldModel, shifts: int = 0) -> None:
        self.path = folder / CACHE / features_key(model)
        self.ending = f"-{shifts}-shifts" if shifts else ""

    def file(self, number: int) -> Path:
        """Of a round."""
        return self.path / f"{number:05}{self.ending}.safetensors"

    def write(self, number: int, features: Sequence[Float[Tensor, "*views t f"]]) -> None:
        """Keep a round, each episode's numbers in bfloat16."""
        tensors = {f"{i:05}": each.bfloat16().contiguous() for i, each in enumerate(features)}
        atomic_write(self.file(number), lambda path: save_file(tensors, path))

    def read(self, number: int) -> list[Float[Tensor, "*views t f"]] | None:
        """A round; None if it is not there.

        Raises:
            ForesightError: the file is damaged.
        """
        path = self.file(number)
        if not path.exists():
            return None
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ForesightError(
                f"{path} cannot be read as features ({error}): remove it, it is made again from "
                "the frames."
            ) from error
        return [tensors[name] for name in sorted(tensors)]


def features_key(model: WorldModel) -> str:
    """Hash of everything that an observation's numbers depend on."""
    state = adapter_of(model)
    axes = {k: v.cpu().numpy().tobytes() for k, v in state.pca.state_dict().items()}
    hashes = {name: fingerprint(value) for name, value in axes.items()}
    return fingerprint([model.config.encoder_fingerprint, hashes])


def adapter_of(model: WorldModel) -> AdapterState:
    """The state encoder of a model that learns by acting.

    Raises:
        ForesightError: it is of another kind.
    """
    if not isinstance(model.state, AdapterState):
        raise ForesightError(
            f"The state of this model is {model.config.state.kind}, and a learned adapter is "
            "needed: give a model of `foresight learn`, or of `foresight train --state adapter`."
        )
    return model.state


def compressed(
    model: WorldModel, encoder: Encoder, episodes: Sequence[Episode], shifts: int = 0
) -> list[Float[Tensor, "*views t f"]]:
    """Numbers of every observation of a round, as they were seen while it was played."""
    state = adapter_of(model)
    found = look(
        encoder, episodes, [camera.name for camera in model.config.cameras], state.compress, shifts
    )
    return [each.bfloat16() for each in found]


@torch.no_grad()
def look(
    encoder: Encoder,
    episodes: Sequence[Episode],
    cameras: Sequence[str],
    compress: Callable[[Sequence[Tensor]], Tensor] | None = None,
    shifts: int = 0,
) -> list[Tensor]:
    """What an encoder sees in a round, all scenes of a step at once.

    Args:
        encoder: frozen.
        episodes: of one round; an episode that is over keeps showing its last picture.
        cameras: in the order of the model's.
        compress: tokens of each camera to numbers; whole tokens if not given.
        shifts: views of each picture beside it (`foresight.training.shifts`).

    Returns:
        Of each episode ``[T, ...]``, with shifts ``[V, T, ...]``.
    """
    seeds = [int(episode.info["seed"]) for episode in episodes] if shifts else [0] * len(episodes)
    seeing = [ObservationEncoder(encoder, cameras=(camera,)) for camera in cameras]
    steps: list[Tensor] = []
    for step in range(max(map(len, episodes))):
        tokens = [
            one.see(
                all_views(
                    [e.images[camera][min(step, len(e) - 1)] for e in episodes], seeds, shifts
                )
            )
            for one, camera in zip(seeing, cameras, strict=True)
        ]
        now = torch.cat(tokens, dim=-2) if compress is None else compress(tokens)
        steps.append(now.cpu())
    return by_scene(torch.stack(steps, 1), [len(episode) for episode in episodes], shifts)


def remember(
    replay: Replay,
    model: WorldModel,
    episodes: Sequence[Episode],
    features: Sequence[Float[Tensor, "*views t f"]],
) -> None:
    """Add a round to a replay, actions in [-1, 1]."""
    state = adapter_of(model)
    for episode, numbers in zip(episodes, features, strict=True):
        proprio = torch.from_numpy(episode.state)
        expert = episode.columns.get(EXPERT)
        views = [
            state.stack(state.join(view, proprio if state.proprio else None))
            for view in (numbers if numbers.ndim == 3 else numbers[None])
        ]
        replay.add(
            views[0],
            model.normalised(torch.from_numpy(episode.action)),
            torch.from_numpy(_rewards(episode, model)),
            episode.terminated,
            proprio,
            None if expert is None else model.normalised(torch.from_numpy(expert).float()),
            torch.stack(views[1:]) if len(views) > 1 else None,
        )


def with_expert_column(episode: Episode) -> Episode:
    """The same episode with what an expert would have done, NaN where nobody asked."""
    if EXPERT in episode.columns:
        return episode
    nobody = np.full(episode.action.shape, np.nan, np.float32)
    return replace(episode, columns={**episode.columns, EXPERT: nobody})


def load_replay(model: WorldModel, folder: Path | str, encoder: Encoder | None = None) -> Replay:
    """All that a model has learned from by acting, as it sees it now.

    Args:
        model: trained online.
        folder: of the run, or of its checkpoint.
        encoder: the model's, for features that are not in the cache; loaded if not given.

    Raises:
        ForesightError: there are no episodes, or a file is damaged.
    """
    run = run_of(folder)
    dataset = Dataset.open(run / DATA)
    files = FeatureFiles(run, model)
    replay = Replay(
        int(dataset.offsets[-1]),
        model.features,
        model.config.actions,
        len(dataset.spec.state),
        model.latent,
    )
    numbers = without_pictures(dataset)
    rounds = itertools.groupby(range(len(dataset)), lambda i: dataset.metas[i].info["round"])
    for number, members in rounds:
        indices = list(members)
        features = files.read(int(number))
        if features is None:
            encoder = encoder or load_encoder(model.config.encoder)
            model.config.expect_encoder(encoder.fingerprint)
            features = compressed(model, encoder, [dataset.episode(i) for i in indices])
            files.write(int(number), features)
        remember(replay, model, [numbers[i] for i in indices], features)
    device = next(model.parameters()).device
    replay.refresh(lambda seen: model.encode(seen.float().to(device)))
    return replay


def run_of(folder: Path | str) -> Path:
    """The folder of a run, of which ``folder`` may be the checkpoint.

    Raises:
        ForesightError: neither holds episodes.
    """
    folder = Path(folder)
    for place in (folder, folder.parent):
        if is_dataset(place / DATA):
            return place
    raise ForesightError(
        f"{folder} holds no episodes of a training: point to a folder that `foresight learn` "
        f"wrote, with its {DATA}."
    )


def _rewards(episode: Episode, model: WorldModel) -> np.ndarray:
    if episode.reward is not None:
        return episode.reward
    if model.reward is None:
        return np.zeros(len(episode), np.float32)
    raise ForesightError(
        f"An episode of {episode.task} has no rewards, and the model is to learn them: leave that "
        "out."
    )
