"""Attention of the action-conditioned predictors."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from foresight.perception.ac_layers import mix


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
def test_plain_products_attend_as_the_fused_kernel_does(dtype: torch.dtype, near: float) -> None:
    torch.manual_seed(0)
    ours = [torch.randn(2, 3, n, 40).to(dtype).requires_grad_() for n in (5, 11, 11)]
    theirs = [part.detach().float().requires_grad_() for part in ours]
    weight = torch.randn(2, 3, 5, 40)
    found, right = mix(*ours), functional.scaled_dot_product_attention(*theirs)
    assert found.dtype == dtype
    (found.float() * weight).sum().backward()
    (right * weight).sum().backward()
    assert (found.float() - right).abs().max() < near
    for one, other in zip(ours, theirs, strict=True):
        assert one.grad is not None and other.grad is not None
        assert (one.grad.float() - other.grad).abs().max() < 3 * near


def test_without_gradients_the_fused_kernel_attends() -> None:
    torch.manual_seed(0)
    parts = [torch.randn(1, 2, n, 32, dtype=torch.bfloat16) for n in (4, 8, 8)]
    assert torch.equal(mix(*parts), functional.scaled_dot_product_attention(*parts))
