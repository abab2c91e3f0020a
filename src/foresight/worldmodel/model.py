"""A world model as one thing: latent state, dynamics and reward, with what they were trained on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from foresight.errors import ForesightError
from foresight.files import atomic_write, read_json, write_json
from foresight.worldmodel.latent import LatentConfig, LatentState
from foresight.worldmodel.networks import ResidualDynamics, RewardModel


@dataclass(frozen=True)
class WorldModelConfig:
    """Everything needed to build the networks again, and the fingerprints that tie them down."""

    task: str
    features: int
    actions: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    latent: LatentConfig = field(default_factory=LatentConfig)
    hidden: int = 512
    layers: int = 3
    reward_hidden: int = 256
    encoder: str = ""
    encoder_fingerprint: str = ""
    readout: str = ""
    readout_fingerprint: str = ""
    dataset_fingerprint: str = ""


class WorldModel(nn.Module):
    """Latent state, residual dynamics and reward of one task."""

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        self.latent = LatentState(config.latent, config.features)
        self.dynamics = ResidualDynamics(
            self.latent.dim, config.actions, config.hidden, config.layers
        )
        self.reward = RewardModel(self.latent.dim, config.actions, config.reward_hidden)

    def expect_encoder(self, fingerprint: str, readout_fingerprint: str) -> None:
        """Refuse features of another encoder or readout than the model was trained on.

        Raises:
            ForesightError: a fingerprint differs.
        """
        config = self.config
        if config.encoder_fingerprint != fingerprint:
            raise ForesightError(
                f"This world model was trained on encoder {config.encoder} "
                f"({config.encoder_fingerprint}) and got {fingerprint}: use that encoder, or train "
                "again."
            )
        if config.readout_fingerprint != readout_fingerprint:
            raise ForesightError(
                f"This world model was trained on readout {config.readout} "
                f"({config.readout_fingerprint}) and got {readout_fingerprint}: use that readout, "
                "or train again."
            )

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``, weights first, each atomically."""
        folder = Path(folder)
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        atomic_write(folder / "model.safetensors", lambda path: save_file(tensors, path))
        write_json(folder / "config.json", asdict(self.config))

    @classmethod
    def load(cls, folder: Path | str) -> WorldModel:
        """Read a checkpoint folder.

        Raises:
            ForesightError: a file is missing or damaged, or the weights have other sizes than the
                configuration says.
        """
        folder = Path(folder)
        raw = read_json(folder / "config.json")
        try:
            raw["latent"] = LatentConfig(**raw["latent"])
            raw["action_low"] = tuple(raw["action_low"])
            raw["action_high"] = tuple(raw["action_high"])
            model = cls(WorldModelConfig(**raw))
        except (KeyError, TypeError) as error:
            raise ForesightError(
                f"{folder / 'config.json'} is not a world model's configuration ({error}): point "
                "to a folder that `foresight train` wrote."
            ) from error
        load_weights(model, folder / "model.safetensors")
        return model.eval()


def load_weights(model: nn.Module, path: Path | str) -> None:
    """Load safetensors into ``model``, naming the first tensor that does not fit.

    Raises:
        ForesightError: the file is missing, truncated or of another architecture or latent size.
    """
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise ForesightError(f"{path} does not exist: check the path or train first.") from error
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ForesightError(
            f"{path} cannot be read as safetensors ({error}): it is damaged, train again."
        ) from error
    expected = model.state_dict()
    for name, value in expected.items():
        if name not in tensors:
            raise ForesightError(
                f"{path} has no tensor {name}: it is a checkpoint of another model, choose the one "
                "that fits."
            )
        if tensors[name].shape != value.shape:
            raise ForesightError(
                f"{path} holds {name} as {list(tensors[name].shape)} where "
                f"{list(value.shape)} was expected: the checkpoint has another latent size, choose "
                "the one that fits or train again."
            )
    foreign = sorted(set(tensors) - set(expected))
    if foreign:
        raise ForesightError(
            f"{path} holds the unknown tensor {foreign[0]}: it is a checkpoint of another model, "
            "choose the one that fits."
        )
    model.load_state_dict(tensors)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in module.parameters())
