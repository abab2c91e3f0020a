"""Conditioned features: centred, standardised, reduced or whitened, fitted once per dataset.

V-JEPA features of one scene differ by little around a large common mean, so that cosine and
distance see the mean. The statistics come from the training episodes only and lie beside the
feature cache that they belong to, in ``conditioning/<key>.safetensors`` and ``.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, fingerprint, read_json, write_json
from foresight.data.cache import FeatureCache
from foresight.perception.axes import (
    FIT_ROWS,
    chosen_steps,
    mean_and_deviation,
    principal_axes,
    standard_scale,
)

VERSION = 1


@dataclass(frozen=True)
class ConditioningConfig:
    """What is done to features before anything measures or learns on them."""

    kind: Literal["centre", "standardise", "pca", "whiten"] = "whiten"
    """centre: subtract the mean of every position and channel; standardise: also divide each by
    its deviation; pca: project on the leading axes and scale all by one number; whiten: scale
    each axis to unit variance."""
    dim: int = 128
    """Axes that `pca` and `whiten` keep."""
    shrinkage: float = 0.01
    """`whiten` pulls the variances this far towards their mean, 0 to 1: the last axes hold more
    noise than signal, and 0 makes them as loud as the first."""

    def __post_init__(self) -> None:
        if self.kind not in ("centre", "standardise", "pca", "whiten"):
            raise ForesightError(
                f"Unknown conditioning {self.kind!r}: choose centre, standardise, pca or whiten."
            )
        if not 0 <= self.shrinkage <= 1:
            raise ForesightError(
                f"A whitening shrinkage of {self.shrinkage} is refused: choose 0 to 1."
            )


@dataclass(frozen=True)
class Conditioning:
    """A fitted affine map ``z = ((x - mean) @ directions) * scale``.

    Attributes:
        config: what was asked for.
        mean: ``[F]``; features keep their position, so this centres every position on its own.
        scale: ``[Z]``.
        directions: orthonormal ``[F, Z]``; None means none are dropped (Z = F).
        kept: share of the training variance that the directions hold.
    """

    config: ConditioningConfig
    mean: Float[Tensor, " F"]
    scale: Float[Tensor, " Z"]
    directions: Float[Tensor, "F Z"] | None
    kept: float

    @property
    def dim(self) -> int:
        """Width Z of the conditioned features."""
        return len(self.scale)

    def apply(
        self, features: Float[Tensor, "*batch F"] | Float[np.ndarray, "*batch F"]
    ) -> Float[Tensor, "*batch Z"]:
        """Condition features, float32.

        Raises:
            ForesightError: features of another width.
        """
        x = torch.as_tensor(np.array(features) if isinstance(features, np.ndarray) else features)
        self._expect(x, len(self.mean))
        centred = x.float() - self.mean
        return (centred if self.directions is None else centred @ self.directions) * self.scale

    def invert(self, conditioned: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch F"]:
        """The features that give ``conditioned``; dropped axes come back at their mean.

        Raises:
            ForesightError: conditioned features of another width.
        """
        self._expect(conditioned, self.dim)
        centred = conditioned / self.scale
        return self.mean + (centred if self.directions is None else centred @ self.directions.T)

    def _expect(self, x: Tensor, width: int) -> None:
        if x.shape[-1:] != (width,):
            raise ForesightError(
                f"Features of shape {tuple(x.shape)} do not fit this conditioning of "
                f"{len(self.mean)} to {self.dim}: use the encoder and readout it was fitted with."
            )


def fit_conditioning(
    features: np.ndarray,
    offsets: np.ndarray,
    episodes: Sequence[int],
    config: ConditioningConfig,
    seed: int = 0,
) -> Conditioning:
    """Estimate the statistics on some episodes, reading them a few times and keeping one at once.

    Args:
        features: ``[N, F]``, all steps of all episodes, usually a memory map.
        offsets: int ``[episodes + 1]``, where each episode starts.
        episodes: indices of the training episodes; about 20,000 of their steps are used.
        config: what to fit.
        seed: of the choice of steps and of the first directions.

    Raises:
        ForesightError: no episodes, or fewer steps than axes.
    """

    def rows() -> Iterator[Tensor]:
        for index, steps in chosen_steps(offsets, episodes, seed):
            yield torch.from_numpy(np.array(features[int(offsets[index]) + steps])).float()

    mean, deviation, _ = mean_and_deviation(rows)
    if config.kind in ("centre", "standardise"):
        scale = torch.ones_like(mean) if config.kind == "centre" else standard_scale(deviation)
        return Conditioning(config, mean, scale, None, 1.0)
    axes = principal_axes(rows, mean, config.dim, seed)
    common = axes.variances.mean()
    shrinkage = config.shrinkage if config.kind == "whiten" else 1.0
    variances = (1 - shrinkage) * axes.variances + shrinkage * common
    scale = variances.clamp(min=1e-6 * float(common) + 1e-12).rsqrt()
    return Conditioning(config, mean, scale, axes.directions, axes.kept)


def cached_conditioning(
    cache: FeatureCache, episodes: Sequence[int], config: ConditioningConfig, seed: int = 0
) -> Conditioning:
    """The conditioning of a feature cache: loaded where it lies beside it, else fitted and saved.

    Args:
        cache: features of which at least ``episodes`` are done.
        episodes: the training episodes of the split, never the held-out ones.
        config: what to fit.
        seed: as in `fit_conditioning`.

    Raises:
        ForesightError: episodes that are not encoded yet, what is there is damaged, or the disk
            refuses.
    """
    chosen = sorted(int(index) for index in episodes)
    lacking = [index for index in chosen if not cache.done[index]]
    if lacking:
        raise ForesightError(
            f"{len(lacking)} training episodes have no features yet, the first is {lacking[0]}: "
            "finish `foresight encode` first."
        )
    content = {
        "version": VERSION,
        "cache": cache.manifest.key,
        "episodes": chosen,
        "settings": asdict(config),
        "seed": seed,
        "rows": FIT_ROWS,
    }
    path = cache.path / "conditioning" / fingerprint(content)
    if path.with_suffix(".json").exists():
        return load_conditioning(path)
    features = cache.array.reshape(len(cache.array), -1)
    fitted = fit_conditioning(features, cache.offsets, chosen, config, seed)
    save_conditioning(fitted, path, content)
    return fitted


def save_conditioning(
    conditioning: Conditioning, path: Path, content: dict[str, object] | None = None
) -> None:
    """Write ``path.safetensors``, then ``path.json``, each atomically."""
    tensors = {"mean": conditioning.mean, "scale": conditioning.scale}
    if conditioning.directions is not None:
        tensors["directions"] = conditioning.directions.contiguous()
    atomic_write(path.with_suffix(".safetensors"), lambda file: save_file(tensors, file))
    settings = {"settings": asdict(conditioning.config), "kept": conditioning.kept}
    write_json(path.with_suffix(".json"), {**(content or {}), **settings})


def load_conditioning(path: Path) -> Conditioning:
    """Read what `save_conditioning` wrote.

    Raises:
        ForesightError: a file is missing or damaged.
    """
    values = read_json(path.with_suffix(".json"))
    try:
        tensors = load_file(path.with_suffix(".safetensors"))
        found = Conditioning(
            ConditioningConfig(**values["settings"]),
            tensors["mean"],
            tensors["scale"],
            tensors.get("directions"),
            float(values["kept"]),
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ForesightError(
            f"The conditioning {path} cannot be read ({type(error).__name__}): it is damaged, "
            f"remove {path.with_suffix('.json')} and it is fitted again."
        ) from error
    width = len(found.mean) if found.directions is None else found.directions.shape[1]
    if found.dim != width:
        raise ForesightError(
            f"The conditioning {path} has {found.dim} scales for {width} axes: it is damaged, "
            f"remove {path.with_suffix('.json')} and it is fitted again."
        )
    return found
