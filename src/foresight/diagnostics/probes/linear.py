"""Linear probes: ridge regression in closed form and multinomial logistic regression."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

PENALTIES = tuple(10.0**power for power in range(-5, 2))
"""Ridge penalties, as shares of the features' mean square."""
DECAYS = (1e-5, 1e-3, 1e-1)
"""Weight penalties of the logistic probe, as shares of the same."""
CHUNK = 4096
"""Rows or columns that are converted at once: the whole may not fit twice."""


def ridge(
    features: Float[Tensor, "n f"],
    targets: Float[Tensor, "n q"],
    train: Int[Tensor, " a"],
    validation: Int[Tensor, " b"],
    penalties: tuple[float, ...] = PENALTIES,
) -> Float[Tensor, "n q"]:
    """Predictions of ridge regression with intercept for all windows.

    Solves ``(X'X + p s I) w = X'y`` on the centred training windows, with ``s`` the mean square
    of a feature over them times their number, or the same through the windows' inner products
    where there are more features than windows (Hastie et al. 2009, sections 3.4.1 and 18.3.5).
    Each target takes the penalty with the smallest validation error.

    Args:
        features: any float dtype ``[N, F]``; computed in fp32, solved in fp64.
        targets: ``[N, Q]``.
        train: windows to fit on.
        validation: windows to choose the penalty by.
        penalties: shares to choose from.

    Returns:
        float64 ``[N, Q]``.
    """
    y = targets.double()
    mean = y[train].mean(dim=0)
    solve = _primal if features.shape[1] <= len(train) else _dual
    predictions = solve(features, y[train] - mean, train, penalties) + mean
    errors = (predictions[:, validation] - y[validation]).square().mean(dim=1)
    best = errors.argmin(dim=0)
    return predictions[best, :, torch.arange(y.shape[1])].T


def logistic(
    features: Float[Tensor, "n f"],
    classes: Int[Tensor, " n"],
    count: int,
    train: Int[Tensor, " a"],
    validation: Int[Tensor, " b"],
    decays: tuple[float, ...] = DECAYS,
) -> Int[Tensor, " n"]:
    """Predicted classes of multinomial logistic regression for all windows.

    The mean cross-entropy plus ``decay / 2`` times the squared weights is minimised by L-BFGS.

    Args:
        features: any float dtype ``[N, F]``; they are centred and brought to mean square 1.
        classes: true classes ``[N]``.
        count: number of classes.
        train: windows to fit on.
        validation: windows to choose the penalty by.
        decays: penalties to choose from.
    """
    x = features.float() - features[train].float().mean(dim=0)
    x /= x[train].square().mean().sqrt().clamp_min(1e-12)
    best, found = -1.0, torch.zeros_like(classes)
    for decay in decays:
        predicted = _fit_logistic(x, classes, count, train, decay)
        right = (predicted[validation] == classes[validation]).double().mean().item()
        if right > best:
            best, found = right, predicted
    return found


def _primal(x: Tensor, y: Tensor, train: Tensor, penalties: tuple[float, ...]) -> Tensor:
    """Predictions ``[P, N, Q]`` from the features' covariance."""
    centre = x[train].double().mean(dim=0)
    fitted = x[train].double() - centre
    products, aims = fitted.T @ fitted, fitted.T @ y
    scale = products.diagonal().mean().clamp_min(1e-300)
    unit = torch.eye(len(products), dtype=torch.float64, device=x.device)
    predictions = []
    for p in penalties:
        # A little is always added, so that features which are copies of others do no harm.
        factor = torch.linalg.cholesky(products + max(p, 1e-9) * scale * unit)
        weights = torch.cholesky_solve(aims, factor)
        parts = [(rows.double() - centre) @ weights for rows in x.split(CHUNK)]
        predictions.append(torch.cat(parts))
    return torch.stack(predictions)


def _dual(x: Tensor, y: Tensor, train: Tensor, penalties: tuple[float, ...]) -> Tensor:
    """Predictions ``[P, N, Q]`` from the windows' inner products."""
    products = torch.zeros(len(x), len(train), dtype=torch.float64, device=x.device)
    for start in range(0, x.shape[1], CHUNK):
        part = x[:, start : start + CHUNK].float()
        part -= part[train].mean(dim=0)
        products += (part @ part[train].T).double()
    own = (products[train] + products[train].T) / 2
    scale = own.trace().clamp_min(1e-300) / x.shape[1]
    predictions = []
    for p in penalties:
        factor = _factor(own, torch.maximum(p * scale, 1e-6 * own.diagonal().mean()))
        predictions.append(products @ torch.cholesky_solve(y, factor))
    return torch.stack(predictions)


def _factor(own: Tensor, level: Tensor) -> Tensor:
    """Cholesky factor of ``own + level * 1``, with the smallest level that makes it definite.

    fp32's rounding of the products may leave directions that are slightly negative.
    """
    unit = torch.eye(len(own), dtype=own.dtype, device=own.device)
    while True:
        factor, failed = torch.linalg.cholesky_ex(own + level * unit)
        if not failed:
            return factor
        level = level * 10


def _fit_logistic(x: Tensor, classes: Tensor, count: int, train: Tensor, decay: float) -> Tensor:
    """Predicted classes of one penalty; the gradient is written out, autograd takes twice as long.

    Weights and, last, the bias are one tensor, so that L-BFGS works on one.
    """
    table = torch.zeros(count, x.shape[1] + 1, device=x.device)
    weight, bias = table[:, :-1], table[:, -1]
    table.grad = torch.zeros_like(table)
    fitted, wanted = x[train], functional.one_hot(classes[train].long(), count).to(x.dtype)
    optimiser = torch.optim.LBFGS(
        [table], max_iter=60, history_size=8, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        likely = functional.linear(fitted, weight, bias).log_softmax(dim=1)
        off = (likely.exp() - wanted) / len(fitted)
        assert table.grad is not None
        torch.addmm(weight, off.T, fitted, beta=decay, out=table.grad[:, :-1])
        torch.sum(off, dim=0, out=table.grad[:, -1])
        error = -(likely * wanted).sum() / len(fitted)
        return error + 0.5 * decay * weight.square().sum()

    optimiser.step(closure)
    return functional.linear(x, weight, bias).argmax(dim=1)
