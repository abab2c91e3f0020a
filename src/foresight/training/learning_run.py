"""A folder in which a `Learner` teaches a model: a killed training goes on and ends as it would."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, fingerprint, read_json, write_json
from foresight.core.machine import torch_threads
from foresight.core.metrics import MetricsLog, read_json_lines
from foresight.core.stopwatch import Stopwatch
from foresight.core.training_state import TrainingState, load_training, save_training
from foresight.perception.encoder import Encoder
from foresight.training.learner import Learner
from foresight.training.replay import Replay
from foresight.worldmodel.model import WorldModel

STATE, RUN = "learning.safetensors", "run.json"


class TrainingRun:
    """A folder of one training, and whether it is done.

    Args:
        checkpoint: folder of what is learned, its ``metrics.jsonl`` and the state of an unfinished
            run.
        config: everything that decides the result; of a run with another, the folder is refused.
        device: where the networks learn.
        about: what else decides the result, such as a dataset's fingerprint.
    """

    log: MetricsLog

    def __init__(self, checkpoint: Path, config: Any, device: torch.device, **about: str) -> None:
        self.checkpoint, self._settings = checkpoint, config
        self._alone_on = device.type
        self.identity = fingerprint({"config": config, **about})
        self.watch = Stopwatch()
        self.rounds = 0

    @property
    def _finished(self) -> bool:
        """Whether all is done; refuses a folder in which something else is learned."""
        path = self.checkpoint / RUN
        if not path.exists():
            if (self.checkpoint / "config.json").exists():
                raise ForesightError(
                    f"{self.checkpoint} holds a checkpoint of another kind of training: choose "
                    "another folder."
                )
            return False
        found = read_json(path)
        if found.get("identity") != self.identity:
            raise ForesightError(
                f"{self.checkpoint} holds a training with other settings ({found.get('identity')} "
                f"instead of {self.identity}): choose another folder, or give the settings that "
                f"{path} has."
            )
        return bool(found.get("finished"))

    def _open(self) -> None:
        with disk_errors(self.checkpoint):
            self.checkpoint.mkdir(parents=True, exist_ok=True)
        self._write_identity(finished=False)
        self.log = MetricsLog(self.checkpoint / "metrics.jsonl")

    def _write_identity(self, finished: bool) -> None:
        about = {"identity": self.identity, "finished": finished, "config": self._settings}
        write_json(self.checkpoint / RUN, about)

    def _alone(self) -> AbstractContextManager[None]:
        """One thread for the small networks of a CPU."""
        return torch_threads(1) if self._alone_on == "cpu" else nullcontext()

    def _updates(self, update: Callable[[], dict[str, Tensor]], count: int) -> dict[str, float]:
        """Mean of what ``count`` updates log; nothing of none."""
        sums: dict[str, Tensor] = {}
        with self.watch.stage("update"):
            for _ in range(count):
                for name, value in update().items():
                    sums[name] = sums[name] + value if name in sums else value
        return {name: float(value) / count for name, value in sums.items()}

    def _state(self) -> TrainingState | None:
        """The last saved state, if there is one; seconds are counted on."""
        logged = read_json_lines(self.log.path)
        if logged:  # rounds that are to be learned from again were paid for, too
            self.watch.go_on(logged[-1])
        return load_training(self.checkpoint / STATE, self.identity)


class LearningRun(TrainingRun):
    """What learning by acting and learning from a dataset have in common.

    Args:
        checkpoint: folder of the model, its ``metrics.jsonl`` and the state of an unfinished run.
        config: everything that decides the result; of a run with another, the folder is refused.
        encoder: frozen.
        about: what else decides the result, such as a dataset's fingerprint.
    """

    model: WorldModel
    learner: Learner

    def __init__(self, checkpoint: Path, config: Any, encoder: Encoder, **about: str) -> None:
        super().__init__(checkpoint, config, encoder.device, encoder=encoder.fingerprint, **about)

    def _update(self, replay: Replay, count: int) -> dict[str, float]:
        """Mean of what ``count`` updates log."""
        return self._updates(lambda: self.learner.update(replay), count)

    def _restore(self) -> bool:
        """Take up the last saved state; False where there is none. States are to be read anew."""
        state = self._state()
        if state is None:
            return False
        learner = self.learner
        self.model.load_state_dict(state.part("model"))
        if learner.target is not None:
            learner.target.load_state_dict(state.part("target"))
        if learner.lessons is not None:
            learner.lessons.load_state_dict(state.part("lessons"))
        learner.take(state.part("learner"))
        state.restore(learner.optimizer)
        self.rounds, learner.updates, learner.phases = (
            int(state.notes[name]) for name in ("rounds", "updates", "phases")
        )
        return True

    def _save(self) -> None:
        """Everything to go on from here; the state first, since it is what a resume believes."""
        learner = self.learner
        parts = {
            "model": self.model.state_dict(),
            "target": {} if learner.target is None else learner.target.state_dict(),
            "lessons": {} if learner.lessons is None else learner.lessons.state_dict(),
            "learner": learner.held,
        }
        counts = {"rounds": self.rounds, "updates": learner.updates, "phases": learner.phases}
        notes = {name: str(count) for name, count in counts.items()}
        save_training(self.checkpoint / STATE, self.identity, parts, learner.optimizer, notes)
        self.model.save(self.checkpoint)
