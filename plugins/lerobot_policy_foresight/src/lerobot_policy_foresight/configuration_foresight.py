"""What LeRobot reads in ``config.json``: a Foresight checkpoint's own header, and how it acts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.optim.optimizers import AdamWConfig
from lerobot.utils.constants import ACTION, OBS_STATE

from foresight.core.checkpoint import CONFIG, Header, building, parse_header, read_header
from foresight.core.errors import ForesightError
from foresight.core.files import read_json
from foresight.core.observation import IMAGE_PREFIX
from foresight.policies.chunk.config import ChunkConfig
from foresight.policies.chunk.policy import TYPE


@PreTrainedConfig.register_subclass("foresight")
@dataclass
class ForesightConfig(PreTrainedConfig):
    """A chunk policy; without ``checkpoint`` there is nothing that could act.

    Attributes:
        checkpoint: ``config.json`` of the Foresight checkpoint as it was.
        n_action_steps: of a chunk executed before the next is decided; 0: half of them.
        temporal_ensemble_coeff: ACT's temporal ensembling; None: none.
        encoder: where the frozen encoder lies, if elsewhere than in training.
        seed: of the first episode's noise and goals; each further one adds 1.
    """

    checkpoint: dict[str, Any] = field(default_factory=dict)
    n_action_steps: int = 0
    temporal_ensemble_coeff: float | None = None
    encoder: str = ""
    seed: int = 0

    @classmethod
    def of(cls, folder: Path) -> "ForesightConfig":
        """Of a Foresight checkpoint, with the features that LeRobot asks for.

        Raises:
            ForesightError: no checkpoint of a chunk policy, or one that tells no robot.
        """
        read_header(folder, TYPE)
        config = cls(checkpoint=read_json(folder / CONFIG), device="cpu")
        chunk = config.chunk()
        if chunk.spec is None:
            raise ForesightError(f"{folder} does not say for which robot it is: train again.")
        config.input_features = {
            IMAGE_PREFIX + camera.name: PolicyFeature(
                FeatureType.VISUAL, (3, *chunk.spec.cameras[camera.name])
            )
            for camera in chunk.cameras
        }
        if chunk.states:
            config.input_features[OBS_STATE] = PolicyFeature(FeatureType.STATE, (chunk.states,))
        config.output_features = {ACTION: PolicyFeature(FeatureType.ACTION, (chunk.actions,))}
        return config

    def chunk(self) -> ChunkConfig:
        """What the network is built from.

        Raises:
            ForesightError: there is no checkpoint inside, or a damaged or an old one.
        """
        if not self.checkpoint:
            raise ForesightError(
                "This configuration holds no Foresight checkpoint: write a folder with "
                "`foresight-to-lerobot CHECKPOINT FOLDER` and name it with --policy.path."
            )
        folder = self.pretrained_path or Path("the policy")
        header: Header = parse_header(self.checkpoint, folder, TYPE)
        with building(header):
            return ChunkConfig.from_header(header)

    def validate_features(self) -> None:
        """Compare what LeRobot found in an environment or a dataset with the policy.

        Raises:
            ForesightError: the actions differ in length.
        """
        actions, robot = self.chunk().actions, self.action_feature
        if robot is not None and tuple(robot.shape) != (actions,):
            raise ForesightError(
                f"The robot takes actions of shape {list(robot.shape)} and the policy gives "
                f"{actions} numbers: use the robot of its dataset."
            )

    @property
    def observation_delta_indices(self) -> None:
        """One observation at a time: what is looked back on, the policy remembers."""

    @property
    def action_delta_indices(self) -> list[int]:
        """The steps of a chunk."""
        return list(range(self.chunk().network.chunk))

    @property
    def reward_delta_indices(self) -> None:
        """No rewards."""

    def get_optimizer_preset(self) -> AdamWConfig:
        """LeRobot's own default."""
        return AdamWConfig()

    def get_scheduler_preset(self) -> None:
        """None."""
