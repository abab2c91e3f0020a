"""The policy: LeRobot's batches in, Foresight's actions out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import OBS_STATE
from safetensors.torch import save_file
from torch import Tensor

from foresight.core.checkpoint import CONFIG, WEIGHTS, load_weights
from foresight.core.errors import ForesightError
from foresight.core.files import read_json
from foresight.core.hub import fetch
from foresight.core.observation import IMAGE_PREFIX, NO_STATE, Observation
from foresight.policies.chunk.network import ChunkNetwork
from foresight.policies.chunk.policy import ChunkActing, ChunkPolicy
from lerobot_policy_foresight.configuration_foresight import ForesightConfig


class ForesightPolicy(PreTrainedPolicy):
    """A chunk policy for each robot of a batch, all on one network and one encoder.

    Args:
        config: holds the header of a Foresight checkpoint.

    Raises:
        ForesightError: it holds none, or one for other actions.
    """

    config_class = ForesightConfig
    name = "foresight"

    def __init__(self, config: ForesightConfig, **_: Any) -> None:
        super().__init__(config)
        config.validate_features()
        chunk = config.chunk()
        self.network = ChunkNetwork(
            replace(chunk, encoder=config.encoder) if config.encoder else chunk
        )
        self._robots: list[ChunkPolicy] = []
        self._begun = 0

    @classmethod
    def from_pretrained(
        cls,
        pretrained_name_or_path: Path | str,
        *,
        config: ForesightConfig | None = None,
        revision: str | None = None,
        **_: Any,
    ) -> "ForesightPolicy":
        """Read a folder that ``foresight-to-lerobot`` wrote; every tensor must fit.

        Raises:
            ForesightError: no such folder, or one that misses something or is damaged.
        """
        folder = fetch(pretrained_name_or_path, revision=revision)
        if config is None:
            about = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
            if not isinstance(about, dict) or about.get("type") != cls.name:
                raise ForesightError(
                    f"{folder} is no folder of a Foresight policy for LeRobot: write one with "
                    "`foresight-to-lerobot CHECKPOINT FOLDER`."
                )
            config = PreTrainedConfig.from_pretrained(folder)
            config.pretrained_path = folder
        policy = cls(config)
        load_weights(policy.network, folder)
        return policy.to(config.device).eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        """The configuration, and the weights under the names that Foresight gives them."""
        self.config._save_pretrained(save_directory)
        tensors = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        save_file(tensors, save_directory / WEIGHTS)

    def reset(self) -> None:
        """Begin an episode, of as many robots as the next batch has."""
        self._robots = []

    def select_action(self, batch: Mapping[str, Any], **_: Any) -> Tensor:
        """The next action ``[B, A]`` of each robot, in its own units.

        Args:
            batch: ``observation.images.CAMERA [B, 3, H, W]`` in 0..1, ``observation.state [B, S]``
                in the robot's units, ``task``.

        Raises:
            ForesightError: a camera is missing, a state of another length, an unknown task.
        """
        return self._each(batch, lambda robot, seen: robot.act(seen))

    def predict_action_chunk(self, batch: Mapping[str, Any], **_: Any) -> Tensor:
        """The next actions ``[B, K, A]``; a call is a step of the episode.

        Args:
            batch: as in :meth:`select_action`.

        Raises:
            ForesightError: as :meth:`select_action`.
        """
        return self._each(batch, lambda robot, seen: robot.predict_action_chunk(seen))

    def forward(self, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Any] | None]:
        """Refused: training needs features that are cached beside the dataset.

        Raises:
            ForesightError: always.
        """
        raise ForesightError(
            "A Foresight policy is not trained by lerobot-train: use `foresight train DATASET "
            "--policy chunk --out RUN`, then `foresight-to-lerobot RUN FOLDER`."
        )

    def get_optim_params(self) -> Any:
        """The network's parameters."""
        return self.network.parameters()

    def _each(
        self, batch: Mapping[str, Any], decide: Callable[[ChunkPolicy, Observation], np.ndarray]
    ) -> Tensor:
        seen = observations(batch)
        device = next(self.network.parameters()).device
        if not self._robots:
            acting = ChunkActing(self.config.n_action_steps, self.config.temporal_ensemble_coeff)
            self._robots = [ChunkPolicy(self.network, acting, str(device)) for _ in seen]
            for robot, now in zip(self._robots, seen, strict=True):
                robot.reset(now, self.config.seed + self._begun)
                self._begun += 1
        if len(seen) != len(self._robots):
            raise ForesightError(
                f"{len(seen)} observations follow a batch of {len(self._robots)}: call reset() "
                "before another number of robots acts."
            )
        pairs = zip(self._robots, seen, strict=True)
        chosen = np.stack([decide(robot, now) for robot, now in pairs])
        return torch.from_numpy(chosen).to(device)


def observations(batch: Mapping[str, Any]) -> list[Observation]:
    """LeRobot's batch as one observation for each robot.

    Raises:
        ForesightError: nothing is seen or felt, or pictures are none, or normalised already.
    """
    pictures = {
        key.removeprefix(IMAGE_PREFIX): _pixels(key, value)
        for key, value in batch.items()
        if key.startswith(IMAGE_PREFIX) and isinstance(value, Tensor)
    }
    state = batch.get(OBS_STATE)
    numbers = None if state is None else state.detach().float().cpu().numpy()
    sizes = [len(each) for each in (*pictures.values(), *(() if numbers is None else (numbers,)))]
    if not sizes:
        raise ForesightError(
            f"The batch holds {', '.join(map(repr, batch)) or 'nothing'} and so neither pictures "
            f"nor a state: expected {IMAGE_PREFIX}CAMERA and {OBS_STATE}."
        )
    tasks = batch.get("task")
    tasks = [tasks] * sizes[0] if tasks is None or isinstance(tasks, str) else tasks
    return [
        Observation(
            {name: frames[i] for name, frames in pictures.items()},
            NO_STATE if numbers is None else numbers[i],
            tasks[i],
        )
        for i in range(sizes[0])
    ]


def _pixels(key: str, value: Tensor) -> np.ndarray:
    """uint8 ``[B, H, W, 3]``: exactly the picture that LeRobot divided by 255."""
    if value.ndim != 4 or value.shape[1] != 3:
        raise ForesightError(
            f"{key} has shape {list(value.shape)} where [batch, 3, height, width] was expected."
        )
    if value.dtype != torch.uint8:
        low, high = float(value.min()), float(value.max())
        if not (low >= 0 and high <= 1):
            raise ForesightError(
                f"{key} goes from {low:g} to {high:g} where pictures between 0 and 1 were "
                "expected: leave normalisation out of the processors, the policy does it."
            )
        value = (value.float() * 255).round().to(torch.uint8)
    return value.permute(0, 2, 3, 1).contiguous().cpu().numpy()
