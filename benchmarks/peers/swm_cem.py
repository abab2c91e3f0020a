"""Times the CEM solver of ``stable-worldmodel`` on a given network; runs in its environment.

``python swm_cem.py FOLDER`` reads ``settings.json`` and ``weights.safetensors`` from the folder,
says ``{"ready": true}``, and then answers each line ``FORM DTYPE`` of its input with one line of
JSON: the seconds of one `solve` and the cost of its plan. FORM is ``loop`` (one member after the
other) or ``stacked`` (all members as one batched product), DTYPE ``float32`` or ``bfloat16``.

It imports nothing of Foresight. Needs: torch, numpy, gymnasium, loguru, safetensors and
stable-worldmodel, of which only the solvers are loaded.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Network(nn.Module):
    """An ensemble ``z' = z + f(z, a)`` with the cost that the solver asks for.

    Args:
        weights: ``[E, out, in]`` and ``[E, out]`` of each linear layer, ``[E, width]`` of each
            norm's scale and shift, named ``linear0.weight`` and so on.
        layers: hidden layers.
        form: ``loop`` or ``stacked``.
        dtype: of the weights; the state is summed in fp32.
    """

    def __init__(
        self, weights: dict[str, Tensor], layers: int, form: str, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.layers = layers
        self.form = form
        self.dtype = dtype
        self.table = nn.ParameterDict(
            {
                name.replace(".", "_"): nn.Parameter(value.to(dtype), requires_grad=False)
                for name, value in weights.items()
            }
        )
        self.members = len(weights["linear0.weight"])

    def _one(self, member: int, x: Tensor) -> Tensor:
        for i in range(self.layers):
            x = functional.linear(
                x, self.table[f"linear{i}_weight"][member], self.table[f"linear{i}_bias"][member]
            )
            scale, shift = self.table[f"norm{i}_weight"], self.table[f"norm{i}_bias"]
            x = functional.layer_norm(x, x.shape[-1:], scale[member], shift[member]).relu()
        last = f"linear{self.layers}"
        return functional.linear(
            x, self.table[f"{last}_weight"][member], self.table[f"{last}_bias"][member]
        )

    def _all(self, x: Tensor) -> Tensor:
        for i in range(self.layers + 1):
            weight, bias = self.table[f"linear{i}_weight"], self.table[f"linear{i}_bias"]
            x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
            if i < self.layers:
                scale, shift = self.table[f"norm{i}_weight"], self.table[f"norm{i}_bias"]
                x = functional.layer_norm(x, x.shape[-1:])
                x = torch.addcmul(shift[:, None], x, scale[:, None]).relu()
        return x

    def _last_states(self, z: Tensor, actions: Tensor) -> Tensor:
        """``z [N, Z], actions [N, H, A] -> [E, N, Z]`` after H steps."""
        if self.form == "stacked":
            state = z.expand(self.members, -1, -1)
            for action in actions.float().unbind(1):
                shared = action.expand(self.members, -1, -1)
                joined = torch.cat([state, shared], -1).to(self.dtype)
                state = state + self._all(joined).float()
            return state
        last = []
        for member in range(self.members):
            state = z
            for action in actions.float().unbind(1):
                joined = torch.cat([state, action], -1).to(self.dtype)
                state = state + self._one(member, joined).float()
            last.append(state)
        return torch.stack(last)

    def criterion(self, info_dict: dict[str, Tensor], action_candidates: Tensor) -> Tensor:
        """Mean over the members of the last state's distance to the goal, ``[B, N]``."""
        state = self._last_states(
            info_dict["z"].flatten(0, 1).float(), action_candidates.flatten(0, 1)
        )
        difference = state - info_dict["goal"].flatten(0, 1).float()
        distance = torch.linalg.vector_norm(difference, dim=-1).mean(0)
        return distance.view(action_candidates.shape[:2])

    def get_cost(self, info_dict: dict[str, Tensor], action_candidates: Tensor) -> Tensor:
        """What the solver calls."""
        return self.criterion(info_dict, action_candidates)


def cem_solver() -> Any:
    """The class ``CEMSolver``, without importing the package's environments and data sets."""
    spec = importlib.util.find_spec("stable_worldmodel")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("stable-worldmodel is not installed here")
    bare = types.ModuleType("stable_worldmodel")
    bare.__spec__ = spec
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules["stable_worldmodel"] = bare
    return importlib.import_module("stable_worldmodel.solver.cem").CEMSolver


def make_solver(settings: dict[str, Any], network: Network) -> Any:
    """Their CEM with our samples, elites, iterations, horizon and first deviation."""
    gym = importlib.import_module("gymnasium")
    solver = cem_solver()(
        network,
        num_samples=settings["samples"],
        var_scale=settings["deviation"],
        n_steps=settings["iterations"],
        topk=settings["elites"],
    )
    solver.configure(
        action_space=gym.spaces.Box(-1.0, 1.0, (1, settings["actions"])),
        n_envs=1,
        config=types.SimpleNamespace(horizon=settings["horizon"], action_block=1),
    )
    return solver


def main(folder: Path) -> None:
    """Answer until the input ends."""
    load_file = importlib.import_module("safetensors.torch").load_file
    settings = json.loads((folder / "settings.json").read_text())
    tensors = load_file(folder / "weights.safetensors")
    info = {"z": tensors.pop("z0"), "goal": tensors.pop("goal")}
    torch.set_num_threads(settings["threads"])
    clock = CLOCKS[settings["clock"]]
    solvers: dict[str, Any] = {}
    cem_solver()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        form, dtype = line.split()
        if line not in solvers:
            network = Network(tensors, settings["layers"], form, getattr(torch, dtype))
            solvers[line] = make_solver(settings, network)
        begin = clock()
        with contextlib.redirect_stdout(sys.stderr):  # it prints
            found = solvers[line].solve(info)
        seconds = clock() - begin
        with torch.inference_mode():
            cost = solvers[line].model.get_cost(
                {name: value[:, None] for name, value in info.items()}, found["actions"][:, None]
            )
        print(json.dumps({"seconds": seconds, "cost": float(cost)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
