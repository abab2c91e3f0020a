"""AC predictors on disk: Meta's ``.pt`` file, or safetensors with Meta's names.

Sizes follow from the weights (heads are 64 wide). What no weight tells, the patches per side and
the longest sequence, is read from ``config.json`` beside a safetensors file, else it is that of
the published model: 16 patches, 32 frames.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint, read_json
from foresight.perception.ac_layers import ACConfig
from foresight.perception.ac_predictor import ACPredictor
from foresight.perception.encoder import find_device, find_dtype
from foresight.perception.weight_files import read_safetensors, read_torch
from foresight.perception.weights import check_values, without_wrappers

HEAD_WIDTH = 64
QUERY_KEY = re.compile(r"predictor_blocks\.\d+\.attn\.qkv\.(?:weight|bias)")


def load_ac_predictor(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = "float32",
    max_frames: int | None = None,
) -> ACPredictor:
    """Load a V-JEPA 2-AC predictor, frozen.

    Args:
        path: Meta's ``vjepa2-ac-vitg.pt``, or a safetensors file with the same names.
        device: ``cpu``, ``cuda``, ... or ``auto``.
        dtype: ``float32`` or ``bfloat16`` (of the products; the rest stays in fp32); None takes
            bfloat16 where the hardware computes in it.
        max_frames: longest sequence if other than the file's; positions are relative to nothing
            but the frame's number, so no weight depends on it.

    Raises:
        ForesightError: no such file, damaged or cut short, no AC predictor in it, missing or
            extra weights, or a device or dtype that is not there.
    """
    path = Path(path).expanduser()
    place = find_device(device)
    kind = find_dtype(dtype, place)
    tensors = {without_wrappers(name): value for name, value in _read(path).items()}
    config = infer_config(tensors, _beside(path), path, max_frames)
    with torch.device("meta"):
        predictor = ACPredictor(config)
    _expect_names(tensors, predictor, path)
    check_values(tensors, str(path))
    tensors = {name: value.to(torch.float32) for name, value in tensors.items()}
    predictor.load_state_dict(reorder_heads(tensors, config), assign=True)
    predictor.source = file_fingerprint(path)
    return predictor.eval().requires_grad_(False).compute_in(kind).to(place)


def random_ac_predictor(config: ACConfig, seed: int = 0) -> ACPredictor:
    """A predictor with random weights, to try things out without a checkpoint.

    Weights are normal with a standard deviation of .02 and biases are zero, as before training.
    """
    predictor = ACPredictor(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(predictor.named_parameters()):
            if name.endswith("bias"):
                weight.zero_()
            elif "norm" not in name:
                weight.normal_(0.0, 0.02, generator=generator)
    return predictor.eval().requires_grad_(False)


def infer_config(
    tensors: dict[str, Tensor], beside: dict[str, Any], path: Path, max_frames: int | None = None
) -> ACConfig:
    """Sizes from the weights' shapes and from the configuration beside them, if there is one.

    Raises:
        ForesightError: the tensors that tell the sizes are missing or odd.
    """
    names = ("predictor_embed.weight", "action_encoder.weight", "predictor_blocks.0.mlp.fc1.weight")
    for name in names:
        if name not in tensors or tensors[name].ndim != 2:
            raise ForesightError(
                f"{path} has no weights {name}: it is not a V-JEPA 2-AC predictor, give "
                "vjepa2-ac-vitg.pt or a safetensors file with the same names."
            )
    embed, action, hidden = (tensors[name] for name in names)
    width, dim = embed.shape
    numbers = {int(m[1]) for name in tensors if (m := re.match(r"predictor_blocks\.(\d+)\.", name))}
    heads, rest = divmod(width, HEAD_WIDTH)
    if rest:
        raise ForesightError(
            f"{path} has a predictor {width} wide, expected a multiple of {HEAD_WIDTH}: it is not "
            "a V-JEPA 2-AC predictor."
        )
    image, patch = beside.get("img_size", 256), beside.get("patch_size", 16)
    return ACConfig(
        dim=dim,
        width=width,
        depth=max(numbers) + 1,
        heads=heads,
        hidden=hidden.shape[0],
        grid=image // patch,
        max_frames=max_frames or beside.get("max_frames", 32),
        actions=action.shape[1],
    )


def reorder_heads(
    tensors: dict[str, Tensor], config: ACConfig, back: bool = False
) -> dict[str, Tensor]:
    """Meta's weights with each head's query and key channels as (even, odd), or ``back``.

    Dot products do not see the order; the rotation's channel pairs become two halves.
    """
    head = config.width // config.heads
    one = torch.cat((torch.arange(0, head, 2), torch.arange(1, head, 2)))
    starts = torch.arange(2 * config.heads)[:, None] * head
    values = torch.arange(2 * config.width, 3 * config.width)
    order = torch.cat(((starts + one).flatten(), values))
    if back:
        order = order.argsort()
    return {
        name: value[order] if QUERY_KEY.fullmatch(name) else value
        for name, value in tensors.items()
    }


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ForesightError(
            f"There is no AC checkpoint {path}: give a file such as vjepa2-ac-vitg.pt or a "
            "safetensors file."
        )
    if path.suffix == ".safetensors":
        return read_safetensors((path,))
    held = read_torch(path)
    part = held.get("predictor") if isinstance(held, dict) else None
    if not isinstance(part, dict) or not all(isinstance(v, Tensor) for v in part.values()):
        found = ", ".join(map(str, held))[:80] if isinstance(held, dict) else type(held).__name__
        raise ForesightError(
            f"{path} holds no weights under 'predictor' (found: {found}): give an action-"
            "conditioned checkpoint such as vjepa2-ac-vitg.pt."
        )
    return part


def _beside(path: Path) -> dict[str, Any]:
    config = path.parent / "config.json"
    if path.suffix != ".safetensors" or not config.is_file():
        return {}
    values = read_json(config)
    part = values.get("predictor", {}) if isinstance(values, dict) else {}
    return part if isinstance(part, dict) else {}


def _expect_names(tensors: dict[str, Tensor], predictor: ACPredictor, path: Path) -> None:
    expected = {name: value.shape for name, value in predictor.state_dict().items()}
    for kind, names in (
        ("lacks", sorted(expected.keys() - tensors.keys())),
        ("has the unknown", sorted(tensors.keys() - expected.keys())),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ForesightError(
                f"{path} {kind} weights {names[0]}{more}: it is not a whole V-JEPA 2-AC predictor, "
                "fetch it again or use another file."
            )
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ForesightError(
                f"{path} holds {name} as {list(tensors[name].shape)}, expected {list(shape)}: its "
                "weights do not fit each other, fetch it again."
            )
