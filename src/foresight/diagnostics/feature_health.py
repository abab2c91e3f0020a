"""Feature health: what cosine and distance can still tell apart, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import Row
from foresight.perception.conditioning import Conditioning

SAMPLE = 2000
# Numbers held at once, for each of three sets of rows: 320 MB in all.
NUMBERS = 80_000_000
BLIND_COSINE = 0.9
FLICKER = 0.5
COLLAPSED_RANK = 2.0


@dataclass(frozen=True)
class Health:
    """Statistics of one kind of features; random pairs are of any two steps of the dataset."""

    norm: float
    """Mean L2 norm."""
    mean: float
    """Mean of all numbers."""
    std: float
    """Deviation of all numbers, most of it between dimensions."""
    spread: float
    """Deviation over the steps, mean over the dimensions: what there is to see."""
    cosine_random: float
    """Mean cosine of two random steps."""
    cosine_consecutive: float
    """Mean cosine of neighbouring steps."""
    cosine_across: float | None
    """Mean cosine of random steps of two episodes; None for a single episode."""
    l2_random: float
    """Mean distance of two random steps."""
    l2_consecutive: float
    """Mean distance of neighbouring steps."""
    l2_two_steps: float
    """Mean distance of steps two apart."""
    effective_rank: float
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007)."""
    participation_ratio: float
    """(Σλ)² / Σλ² of the squared singular values λ."""


def feature_health(
    features: np.ndarray,
    offsets: np.ndarray,
    episodes: Sequence[int] | None = None,
    conditioning: Conditioning | None = None,
    seed: int = 0,
) -> dict[str, Health]:
    """Health of features as they are (``raw``), ``centred`` and, if given, conditioned.

    Args:
        features: ``[N, F]``, all steps of all episodes, usually a memory map.
        offsets: int ``[episodes + 1]``, where each episode starts.
        episodes: which to look at; all if None. With a conditioning, those it was not fitted on.
        conditioning: added under its kind (``whiten``, ``pca``, …).
        seed: of the sample of at most 2,000 steps.

    Raises:
        ForesightError: no episode has three steps, or features are not finite.
    """
    chosen = range(len(offsets) - 1) if episodes is None else episodes
    steps, owner = _anchors(offsets, chosen, features.shape[1], seed)
    here, next_, after = (torch.from_numpy(np.array(features[steps + k])).float() for k in range(3))
    if not torch.isfinite(here.sum() + next_.sum() + after.sum()):
        raise ForesightError(
            "The features hold values that are not finite: remove the cache and encode again."
        )
    mean = here.mean(0)
    found = {"raw": _health(here, next_, after, owner, seed)}
    found["centred"] = _health(here - mean, next_ - mean, after - mean, owner, seed)
    if conditioning is not None:
        now, soon, later = (conditioning.apply(x) for x in (here, next_, after))
        found[conditioning.config.kind] = _health(now, soon, later, owner, seed)
    return found


def warnings_of(health: Mapping[str, Health]) -> list[str]:
    """One sentence for each way in which a distance to a goal would be blind.

    Args:
        health: what `feature_health` gives.
    """
    return [sentence for kind, found in health.items() for sentence in _warnings(kind, found)]


def health_rows(health: Mapping[str, Health], task: str, readout: str) -> list[Row]:
    """Measurement rows, condition ``<readout>:<kind>``, measures with hyphens."""
    return [
        {
            "measure": name.replace("_", "-"),
            "value": value,
            "task": task,
            "condition": f"{readout}:{kind}",
        }
        for kind, found in health.items()
        for name, value in asdict(found).items()
        if value is not None
    ]


def effective_rank(singular: Float[Tensor, " k"]) -> float:
    """exp(−Σ p log p) with p = σ / Σσ (Roy & Vetterli 2007); 0 where all are zero."""
    share = singular[singular > 0].double()
    if len(share) == 0:
        return 0.0
    share = share / share.sum()
    return float(torch.exp(-(share * share.log()).sum()))


def participation_ratio(singular: Float[Tensor, " k"]) -> float:
    """(Σσ²)² / Σσ⁴; 0 where all are zero."""
    power = singular.double().square()
    total = float(power.square().sum())
    return float(power.sum().square() / total) if total > 0 else 0.0


def _anchors(
    offsets: np.ndarray, episodes: Sequence[int], width: int, seed: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Random rows whose two successors belong to the same episode, and their episodes."""
    parts = [(np.arange(offsets[i], offsets[i + 1] - 2), i) for i in episodes]
    rows = np.concatenate([rows for rows, _ in parts] or [np.empty(0, np.int64)])
    owner = np.concatenate([np.full(len(r), i) for r, i in parts] or [np.empty(0, np.int64)])
    if len(rows) < 2:
        raise ForesightError(
            f"Feature health needs two steps with two more behind them in their episode, and the "
            f"{len(parts)} episodes given have {len(rows)}: collect longer ones or more."
        )
    wanted = max(2, min(SAMPLE, NUMBERS // (3 * width), len(rows)))
    picked = np.sort(np.random.default_rng(seed).permutation(len(rows))[:wanted])
    return rows[picked], owner[picked]


def _health(here: Tensor, next_: Tensor, after: Tensor, owner: np.ndarray, seed: int) -> Health:
    rng = np.random.default_rng(seed + 1)
    n = len(here)
    first = np.arange(n)
    second = (first + rng.integers(1, n, n)) % n  # any step but itself
    cosine = functional.cosine_similarity(here[first], here[second], dim=1)
    across = torch.from_numpy(owner[first] != owner[second])
    singular = _singular_values(here)
    return Health(
        norm=float(here.norm(dim=1).mean()),
        mean=float(here.mean(dtype=torch.float64)),
        std=float(here.std()),
        spread=float(here.std(0).mean()),
        cosine_random=float(cosine.mean()),
        cosine_consecutive=float(functional.cosine_similarity(here, next_, dim=1).mean()),
        cosine_across=float(cosine[across].mean()) if across.any() else None,
        l2_random=float((here[first] - here[second]).norm(dim=1).mean()),
        l2_consecutive=float((here - next_).norm(dim=1).mean()),
        l2_two_steps=float((here - after).norm(dim=1).mean()),
        effective_rank=effective_rank(singular),
        participation_ratio=participation_ratio(singular),
    )


def _singular_values(x: Float[Tensor, "n F"]) -> Float[Tensor, " k"]:
    """Singular values through the smaller Gram matrix; those below its rounding are zero."""
    gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x
    values = torch.linalg.eigvalsh(gram.double())
    floor = 1e-6 * float(values.max().clamp(min=0))
    return torch.where(values > floor, values, 0.0).clamp(min=0).sqrt()


def _warnings(kind: str, found: Health) -> Iterator[str]:
    if found.cosine_random > BLIND_COSINE:
        yield (
            f"{kind}: random steps have a cosine of {found.cosine_random:.3f}, so the cosine to a "
            "goal is nearly blind: centre or whiten the features first."
        )
    if kind == "centred":  # distances are those of the raw features
        if found.effective_rank < COLLAPSED_RANK:
            yield (
                f"{kind}: the features vary along {found.effective_rank:.1f} directions only, "
                "they have collapsed: use another encoder or readout."
            )
        return
    share = found.l2_consecutive / found.l2_random if found.l2_random > 0 else 1.0
    if share > FLICKER:
        yield (
            f"{kind}: one step moves the features by {share:.2f} of the distance of random steps, "
            "so the L2 to a goal sees flicker more than progress: reduce (pca), or use another "
            "readout or encoder."
        )
    if found.l2_two_steps < 0.98 * found.l2_consecutive:
        yield (
            f"{kind}: two steps lie nearer ({found.l2_two_steps:.3g}) than one "
            f"({found.l2_consecutive:.3g}), as where sliding windows pair frames into alternating "
            "tubelets: use the readout tubelet or difference."
        )
