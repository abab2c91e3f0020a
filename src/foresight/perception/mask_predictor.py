"""V-JEPA 2.1's mask predictor: tokens at places that an encoder was not shown.

Meta's files of g and G hold one that takes four levels and answers with four; those of B and L take
the last level and answer in the space of the teacher that they were distilled from, ViT-G's last
level, which is not comparable with their own tokens.

Source: V-JEPA 2.1 (arXiv 2603.14482) and its released code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.perception.encoder import find_device
from foresight.perception.generations import SIZE
from foresight.perception.rope import grid_positions, rotary_tables, scaled_positions
from foresight.perception.vit import Block
from foresight.perception.weight_files import (
    TORCH_FILES,
    read_config,
    read_safetensors,
    read_torch,
    weight_files,
)
from foresight.perception.weights import State, fill, join_qkv, without_wrappers

HEAD_DIM = 32
FRAMES = 64
PATCH, TUBELET = 16, 2
MASK = 1
"""The mask token that Meta's code takes where it does not train."""

_NAMES = (
    (re.compile(r"^predictor\."), ""),
    (re.compile(r"^embeddings\.predictor_embed(dings)?\."), "predictor_embed."),
    (re.compile(r"^embeddings\."), ""),
    (re.compile(r"^layer\."), "predictor_blocks."),
    (re.compile(r"\.attention\."), ".attn."),
    (re.compile(r"^layernorm\."), "predictor_norm."),
    (re.compile(r"^proj(_context)?\."), r"predictor_proj\1."),
)


@dataclass(frozen=True)
class MaskPredictorConfig:
    """Sizes of a mask predictor.

    Attributes:
        grid: rows, and columns, of the tokens that it knows places of.
        tubelets: the same along time.
        inputs: channels of a context token: the encoder's, or those of all its levels.
        inner: channels between two maps of the embedding; 0 where there is one map.
        width: channels inside.
        depth: number of blocks.
        hidden: channels inside an MLP.
        outputs: channels of what it predicts.
        masks: number of mask tokens.
        scaled: whether rows and columns are scaled to one range, as they were in training.
    """

    grid: int
    tubelets: int
    inputs: int
    inner: int
    width: int
    depth: int
    hidden: int
    outputs: int
    masks: int = 8
    scaled: bool = True


class MaskPredictor(nn.Module):
    """The predictor, under the names of Meta's release; made by `load_mask_predictor`.

    Args:
        config: sizes.
    """

    def __init__(self, config: MaskPredictorConfig) -> None:
        super().__init__()
        self.config = config
        width, inner = config.width, config.inner
        self.predictor_embed: nn.Module = (
            nn.Sequential(nn.Linear(config.inputs, inner), nn.GELU(), nn.Linear(inner, width))
            if inner
            else nn.Linear(config.inputs, width)
        )
        self.mask_tokens = nn.ParameterList(torch.zeros(1, 1, width) for _ in range(config.masks))
        self.img_mod_embed = nn.Parameter(torch.zeros(1, 1, width))
        self.video_mod_embed = nn.Parameter(torch.zeros(1, 1, width))
        self.predictor_blocks = nn.ModuleList(
            Block(width, width // HEAD_DIM, config.hidden) for _ in range(config.depth)
        )
        self.predictor_norm = nn.LayerNorm(width, eps=1e-6)
        self.predictor_proj = nn.Linear(width, config.outputs)
        self.predictor_proj_context = nn.Linear(width, config.outputs)
        self._tables: tuple[Tensor, Tensor] | None = None

    def forward(
        self,
        context: Float[Tensor, "b k c"],
        keep: Int[Tensor, "b k"],
        predict: Int[Tensor, "b m"],
        still: bool = False,
        mask: int = MASK,
    ) -> tuple[Float[Tensor, "b m o"], Float[Tensor, "b k o"]]:
        """What is predicted at ``predict``, and for the context at ``keep``.

        Args:
            context: tokens of an encoder that was shown nothing but ``keep``; of g and G all levels
                side by side.
            keep: their places, numbered tubelet, row, column.
            predict: the places that are asked for, in any order; answers have that order.
            still: whether it is a picture instead of a video.
            mask: which mask token, modulo their number.

        Raises:
            ForesightError: a place outside of the grid, or context of other channels.
        """
        config = self.config
        places = torch.cat((keep, predict), dim=1)
        room = config.tubelets * config.grid**2
        if context.shape[-1] != config.inputs or int(places.min()) < 0 or int(places.max()) >= room:
            raise ForesightError(
                f"Context of {context.shape[-1]} channels with places from {int(places.min())} to "
                f"{int(places.max())} cannot be predicted from: expected {config.inputs} channels "
                f"and places below {room} ({config.tubelets} x {config.grid} x {config.grid})."
            )
        masks = self.mask_tokens[mask % config.masks].expand(*predict.shape, -1)
        x = torch.cat((self.predictor_embed(context), masks), dim=1)
        x = x + (self.img_mod_embed if still else self.video_mod_embed)
        cos, sin = (table.to(x.device)[places][:, None] for table in self._angles())
        for block in self.predictor_blocks:
            x = block(x, cos, sin)
        seen, wanted = self.predictor_norm(x).split((keep.shape[1], predict.shape[1]), dim=1)
        return self.predictor_proj(wanted), self.predictor_proj_context(seen)

    def _angles(self) -> tuple[Tensor, Tensor]:
        if self._tables is None:
            place = scaled_positions if self.config.scaled else grid_positions
            grid = self.config.grid
            tables = rotary_tables(place(self.config.tubelets, grid, grid), HEAD_DIM, pairs=True)
            self._tables = (tables[0].float(), tables[1].float())
        return self._tables


def load_mask_predictor(
    path: str | Path,
    device: str | torch.device = "cpu",
    scaled: bool = True,
    image_size: int | None = None,
    frames: int | None = None,
) -> MaskPredictor:
    """Load V-JEPA 2.1's mask predictor, frozen, in fp32.

    Args:
        path: one of Meta's ``.pt`` files, a safetensors file with the same names, or the folder of
            a port.
        device: ``cpu``, ``cuda``, ... or ``auto``.
        scaled: scale positions as in training; Meta's hub leaves them as they are. It makes no
            difference at 256 pixels.
        image_size: side of the square frames in pixels, which no weight tells; None takes what a
            configuration beside says, else 384.
        frames: of the longest clip; None the same, else 64.

    Raises:
        ForesightError: nothing there, damaged, weights missing, unknown or of another shape.
    """
    path = Path(path).expanduser()
    place = find_device(device)
    tensors = _meta_names(_read(path), str(path))
    beside = _beside(path)
    config = _config(
        tensors,
        (image_size or beside.get("img_size") or beside.get("crop_size") or SIZE) // PATCH,
        (frames or beside.get("num_frames") or beside.get("frames_per_clip") or FRAMES) // TUBELET,
        scaled,
        str(path),
    )
    with torch.device("meta"):
        module = MaskPredictor(config)
    return fill(module, tensors, str(path), "V-JEPA 2.1 mask predictor").to(place)


def _read(path: Path) -> State:
    if path.is_dir():
        return read_safetensors(weight_files(path))
    if not path.is_file():
        raise ForesightError(
            f"There is no mask predictor {path}: give one of Meta's V-JEPA 2.1 files, a "
            "safetensors file or a folder."
        )
    if path.suffix not in TORCH_FILES:
        return read_safetensors((path,))
    held = read_torch(path)
    part = held.get("predictor") if isinstance(held, dict) else None
    if not isinstance(part, dict):
        raise ForesightError(
            f"{path} holds no weights under 'predictor': give one of Meta's V-JEPA 2.1 files."
        )
    return part


def _beside(path: Path) -> dict[str, Any]:
    file = (path if path.is_dir() else path.parent) / "config.json"
    values = read_config(file) if file.is_file() else {}
    own = values.get("predictor", values) if isinstance(values, dict) else {}
    return own if isinstance(own, dict) else {}


def _meta_names(tensors: State, source: str) -> State:
    """Meta's names, whatever the weights came under; the encoder's are left out."""
    found: State = {}
    for full, value in _apart(tensors):
        name = full
        for pattern, words in _NAMES:
            name = pattern.sub(words, name)
        if name in found and not torch.equal(found[name], value):
            raise ForesightError(f"{source} holds {name} twice: it mixes two predictors.")
        found[name] = value
    return join_qkv(found)


def _apart(tensors: State) -> Iterator[tuple[str, Tensor]]:
    """The predictor's weights, stacked mask tokens one by one."""
    for full, value in tensors.items():
        name = without_wrappers(full)
        if name.startswith(("encoder.", "target_encoder.", "ema_encoder.")):
            continue
        if name.endswith("mask_tokens"):
            yield from ((f"{name}.{i}", token) for i, token in enumerate(value))
        else:
            yield name, value


def _config(
    tensors: State, grid: int, tubelets: int, scaled: bool, source: str
) -> MaskPredictorConfig:
    two = "predictor_embed.0.weight" in tensors
    first = "predictor_embed.0.weight" if two else "predictor_embed.weight"
    needed = (first, "predictor_blocks.0.mlp.fc1.weight", "predictor_proj.weight")
    for name in (*needed, "predictor_proj_context.weight"):
        if name not in tensors or tensors[name].ndim != 2:
            raise ForesightError(
                f"{source} has no weights {name}: it holds no mask predictor of V-JEPA 2.1."
            )
    embed, fc1, proj = (tensors[name] for name in needed)
    blocks = {int(m[1]) for name in tensors if (m := re.match(r"predictor_blocks\.(\d+)\.", name))}
    return MaskPredictorConfig(
        grid=grid,
        tubelets=tubelets,
        inputs=embed.shape[1],
        inner=embed.shape[0] if two else 0,
        width=fc1.shape[1],
        depth=max(blocks) + 1,
        hidden=fc1.shape[0],
        outputs=proj.shape[0],
        masks=max(1, sum(name.startswith("mask_tokens.") for name in tensors)),
        scaled=scaled,
    )
