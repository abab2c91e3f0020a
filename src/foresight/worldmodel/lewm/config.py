"""Sizes of LeWorldModel, and what a trained one says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from foresight.core.checkpoint import Header, TrainedOn
from foresight.core.errors import ForesightError


@dataclass(frozen=True)
class LeWMSizes:
    """Widths and depths; the defaults are the published model on pictures of 64 pixels."""

    image: int = 64
    """Pixels of a picture's side."""
    patch: int = 8
    """Pixels of a patch's side."""
    width: int = 192
    """Of the vision transformer's tokens."""
    depth: int = 12
    """Of the vision transformer."""
    heads: int = 3
    """Of its attention."""
    dim: int = 192
    """Of an embedding, and of the predictor's tokens."""
    hidden: int = 2048
    """Of the two MLPs that give embeddings."""
    predictor_depth: int = 6
    """Blocks of the predictor."""
    predictor_heads: int = 16
    """Heads of its attention."""
    head_dim: int = 64
    """Width of each of them."""
    predictor_mlp: int = 2048
    """Hidden width of its MLPs."""
    dropout: float = 0.1
    """In the predictor, while it learns."""
    history: int = 3
    """Embeddings that the predictor sees at most."""

    def __post_init__(self) -> None:
        if self.image % self.patch or self.width % self.heads or self.history < 1:
            raise ForesightError(
                f"Pictures of {self.image} pixels in patches of {self.patch}, {self.width} numbers "
                f"in {self.heads} heads and a history of {self.history} do not fit: give sizes "
                "that divide, and a history of 1 or more."
            )

    @property
    def patches(self) -> int:
        """Patches of a picture."""
        return (self.image // self.patch) ** 2


SIZES = {
    # 18,034,478 parameters with 2-d actions in blocks of five, as in the paper.
    "paper": LeWMSizes(image=224, patch=14),
    # 17,921,582 parameters: the same on small pictures.
    "paper-64": LeWMSizes(),
    "small": LeWMSizes(
        width=96,
        depth=4,
        dim=64,
        hidden=256,
        predictor_depth=3,
        predictor_heads=4,
        head_dim=32,
        predictor_mlp=256,
        dropout=0.0,
    ),
    "mini": LeWMSizes(
        patch=16,
        width=64,
        depth=3,
        heads=2,
        dim=16,
        hidden=128,
        predictor_depth=2,
        predictor_heads=4,
        head_dim=16,
        predictor_mlp=128,
        dropout=0.0,
    ),
}
"""Named sizes; `small` and `mini` are for two cores of a processor."""


def sizes_of(name: str) -> LeWMSizes:
    """Sizes by their name.

    Raises:
        ForesightError: there are none of this name.
    """
    if name not in SIZES:
        raise ForesightError(
            f"LeWorldModel has no size {name!r}: choose one of {', '.join(SIZES)}."
        )
    return SIZES[name]


@dataclass(frozen=True, kw_only=True)
class LeWMConfig(TrainedOn):
    """What a LeWorldModel is, and the robot that it was trained for."""

    sizes: LeWMSizes
    actions: int
    """A, numbers of an action."""
    action_low: tuple[float, ...]
    """What -1 stands for."""
    action_high: tuple[float, ...]
    """What 1 stands for."""
    every: int = 5
    """Steps of the robot between two embeddings; their actions are one block."""
    camera: str = "view"
    """Whose pictures are seen."""
    task: str = ""
    """Id of the environment, where it is known."""

    @classmethod
    def of(cls, header: Header) -> LeWMConfig:
        """What a checkpoint says of its LeWorldModel, within `building`."""
        raw = header.config
        bounds = {name: tuple(raw[name]) for name in ("action_low", "action_high")}
        return cls.read(header, sizes=LeWMSizes(**raw["sizes"]), **bounds)

    @property
    def block(self) -> int:
        """W, numbers of a block of actions."""
        return self.actions * self.every
