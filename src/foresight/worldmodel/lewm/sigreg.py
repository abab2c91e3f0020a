"""SIGReg: embeddings are pressed towards a standard normal, direction by direction.

Sketched isotropic Gaussian regularisation (LeJEPA, arXiv 2511.08544; LeWorldModel, arXiv
2603.19312). Along a random unit direction the empirical characteristic function of N embeddings is
compared with that of a standard normal, an Epps-Pulley statistic:

    N sum_k w_k [(mean cos(t_k x) - exp(-t_k^2 / 2))^2 + (mean sin(t_k x))^2]

at K knots t_k in [0, 3]. The weights are those of the trapezoid rule over [-3, 3] (the integrand
is even, so both halves are counted by one), times exp(-t_k^2 / 2).
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

KNOTS, WIDEST = 17, 3.0


def characteristic_distance(
    projected: Float[Tensor, "T N M"], knots: int = KNOTS, widest: float = WIDEST
) -> Float[Tensor, "T M"]:
    """The statistic of every step and direction.

    In a process group the means are those over the embeddings of all processes, and N their number:
    what each would find for itself is another, biased statistic. Every process then holds the same
    value, and its gradient is that of the group's sum of losses, as data parallelism expects it.

    Args:
        projected: N embeddings of T steps along M directions.
        knots: K.
        widest: the last knot.
    """
    t = torch.linspace(0, widest, knots, device=projected.device)
    normal = torch.exp(-t.square() / 2)
    weights = torch.full_like(t, 2 * widest / (knots - 1))
    weights[[0, -1]] /= 2
    angles = projected[..., None] * t
    sums = torch.stack([angles.cos().sum(1), angles.sin().sum(1)])
    count = torch.tensor(float(projected.shape[1]), device=projected.device)
    if dist.is_available() and dist.is_initialized():
        from torch.distributed.nn.functional import all_reduce

        sums = all_reduce(sums)
        dist.all_reduce(count)
    cosine, sine = (sums / count).unbind(0)
    return count * ((cosine - normal).square() + sine.square()) @ (weights * normal)


class SIGReg(nn.Module):
    """The statistic, averaged over directions that are drawn anew at every call.

    Args:
        directions: M.
    """

    def __init__(self, directions: int = 1024) -> None:
        super().__init__()
        self.directions = directions

    def forward(self, z: Float[Tensor, "T N D"]) -> Float[Tensor, ""]:
        """How far the N embeddings of each step are from a standard normal; 0 at best.

        The directions come from torch's own generator, in a process group from that of its first
        process. Sums are float32 whatever the products around it are.
        """
        with torch.autocast(z.device.type, enabled=False):
            drawn = torch.randn(z.shape[-1], self.directions, device=z.device)
            if dist.is_available() and dist.is_initialized():
                dist.broadcast(drawn, 0)
            unit = drawn / drawn.norm(dim=0)
            return characteristic_distance(z.float() @ unit).mean()
