"""A frame-causal predictor as a checkpoint."""

from __future__ import annotations

from pathlib import Path

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.perception.ac_data import ACRobot
from foresight.worldmodel.predictor.config import PredictorConfig, PredictorSizes
from foresight.worldmodel.predictor.network import FramePredictor

KIND = "frame-predictor"


class TrainedPredictor:
    """A predictor with what it was trained on.

    Attributes:
        network: the predictor.
        config: its sizes, its robot, fingerprints.
    """

    def __init__(self, network: FramePredictor, config: PredictorConfig) -> None:
        self.network = network
        self.config = config

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        config = self.config
        save_checkpoint(
            folder, KIND, config.to_json(), self.network, config.spec, config.fingerprints
        )

    @classmethod
    def load(cls, folder: Path | str) -> TrainedPredictor:
        """Read a checkpoint folder, frozen, in fp32 on the processor.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, KIND)
        with building(header):
            robot = ACRobot.read(header.config["robot"])
            sizes = PredictorSizes(**header.config["sizes"])
            config = PredictorConfig.read(header, sizes=sizes, robot=robot)
            network = FramePredictor(sizes)
        load_weights(network, folder)
        return cls(network.eval().requires_grad_(False), config)
