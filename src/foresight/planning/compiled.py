"""Residual MLPs compiled for a core: what `foresight.planning.fast` does, in fewer passes.

A step of a few hundred candidates is a dozen operations of 20 to 200 µs, and beside each product
the next operation finds its weights and numbers pushed out of the core's cache. Compiled by torch's
inductor, with its own matrix products, a step is four products and three passes, which stay fast
for parts so small that all of it fits into the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.errors import ForesightError
from foresight.perception.lanes import run_alone
from foresight.worldmodel.networks import ResidualDynamics

COMPILED_ROWS = 256
"""Candidates of a compiled step; fewer are filled up with zeros. At the sources' width that many
activations and a member's weights stay in 2 MiB of cache."""
ALIGNMENT = 32
"""The first layer's input is padded to a multiple of this."""
OPTIONS: dict[str, Any] = {
    "freezing": True,  # weights are constants, laid out for the kernels once
    "max_autotune": True,
    "max_autotune_gemm_backends": "CPP",  # one candidate: nothing is timed, always the same code
    "cpp_wrapper": True,  # the whole step without the interpreter and its lock
}
Step = Callable[[Tensor, Tensor], Tensor]


class CompiledDynamics:
    """An ensemble's members, each compiled for `COMPILED_ROWS` candidates and one thread.

    Args:
        networks: the members; they are not changed.
        dtype: of the products.

    Raises:
        ForesightError: they cannot be compiled here, for example without a C++ compiler.
    """

    def __init__(self, networks: Sequence[ResidualDynamics], dtype: torch.dtype) -> None:
        self.dtype = dtype
        try:
            # Code depends on the number of threads.
            self._steps = [
                run_alone(lambda network=network: _compiled(network, dtype))  # type: ignore[misc]
                for network in networks
            ]
        except Exception as error:  # a compiler fails in many ways
            raise ForesightError(
                f"The planner's dynamics cannot be compiled here ({_first_line(error)}): install a "
                "C++ compiler (g++ and Python's headers), or leave compile out."
            ) from error

    @torch.inference_mode(False)  # in which they were compiled
    @torch.no_grad()
    def roll(
        self, member: int, start: Float[Tensor, "r Z"], actions: Float[Tensor, "H r A"]
    ) -> list[Float[Tensor, "r Z"]]:
        """A member's states after each action, of at most `COMPILED_ROWS` candidates."""
        count, step = len(start), self._steps[member]
        state = torch.zeros(COMPILED_ROWS, start.shape[-1])
        state[:count] = start
        taken = torch.zeros(len(actions), COMPILED_ROWS, actions.shape[-1], dtype=self.dtype)
        taken[:, :count] = actions
        states = []
        for action in taken:
            state = step(state, action)
            states.append(state[:count])
        return states


class _Step(nn.Module):
    """What is compiled: ``z' = z + f(z, a)``, the sum in fp32, ``f`` in ``dtype``."""

    def __init__(self, network: ResidualDynamics, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        layers = [layer for layer in network.net if not isinstance(layer, nn.Dropout)]
        self.net = nn.Sequential(*(_frozen(layer, dtype) for layer in layers))
        first = self.net[0].weight
        assert isinstance(first, Tensor)
        self.padding = -first.shape[1] % ALIGNMENT
        self.net[0].weight = _constant(nn.functional.pad(first, (0, self.padding)))

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        joined = torch.cat([z.to(self.dtype), action], dim=-1)
        return z + self.net(nn.functional.pad(joined, (0, self.padding))).float()


def _frozen(layer: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A layer whose products are in ``dtype``; norms keep fp32 scales and shifts."""
    if not isinstance(layer, nn.Linear):
        return layer
    frozen = nn.Linear(layer.in_features, layer.out_features, device="meta")
    frozen.weight = _constant(layer.weight.detach().to(dtype))
    frozen.bias = _constant(layer.bias.detach().to(dtype))
    return frozen


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


@torch.no_grad()
def _compiled(network: ResidualDynamics, dtype: torch.dtype) -> Step:
    """Inductor's function for a member's step.

    It is called as it is. What `torch.compile` puts before it, checks that everything is as it was
    when it was compiled, takes a fifth as long as the step, and nothing here can change.
    """
    import torch._dynamo.eval_frame as dynamo  # a second to import, which few need
    import torch._inductor.config as inductor

    made: list[Step] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        names = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
        assert ["z" in names[0], "action" in names[1]] == [True, True], names
        function = torch._inductor.compile(graph, inputs, options=OPTIONS)
        made.append(lambda z, action: function(z, action)[0])  # type: ignore[operator]
        return function

    latent, actions = sizes_of(network)
    with inductor.patch(freezing=True):  # asked for before the options are looked at
        run = torch.compile(_Step(network, dtype), backend=backend, dynamic=False, fullgraph=True)
        run(
            torch.zeros(COMPILED_ROWS, latent),
            torch.zeros(COMPILED_ROWS, actions, dtype=dtype),
        )
    dynamo.reset_code(_Step.forward.__code__)  # which keeps no more than a few compilations
    return made[0]


def sizes_of(network: ResidualDynamics) -> tuple[int, int]:
    """Numbers of a state and of an action."""
    first, last = network.net[0], network.net[-1]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    return last.out_features, first.in_features - last.out_features


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
