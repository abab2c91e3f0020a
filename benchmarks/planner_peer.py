"""A solver of another project, run in its own virtual environment and timed in turns with ours."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.peers import swm_cem
from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.residual import ResidualDynamics


class Peer:
    """``stable-worldmodel``'s CEM on the same network; a context manager.

    Args:
        python: interpreter of a virtual environment that has it.
        networks: the members.
        scene: ``z0 [1, Z]`` and ``goal [1, Z]``.
        settings: what the script reads: samples, elites, iterations, horizon, deviation, actions,
            layers, threads and clock.

    Raises:
        ForesightError: the interpreter cannot be run, or lacks the package.
    """

    def __init__(
        self,
        python: Path,
        networks: Sequence[ResidualDynamics],
        scene: dict[str, Tensor],
        settings: dict[str, Any],
    ) -> None:
        self.python = python
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        (folder / "settings.json").write_text(json.dumps(settings))
        tensors = stacked_weights(networks) | scene
        save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            folder / "weights.safetensors",
        )
        self._heard: deque[str] = deque(maxlen=5)
        try:
            self._process = subprocess.Popen(
                [str(python), str(Path(swm_cem.__file__)), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            self._folder.cleanup()
            raise ForesightError(
                f"The interpreter {python} cannot be run ({error.strerror}): give the python of a "
                "virtual environment with stable-worldmodel, see docs/planning.md."
            ) from None
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._answer()
        except ForesightError:
            self.close()
            raise

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the other process and remove what was written for it."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        self._folder.cleanup()

    def solve(self, form: str, dtype: torch.dtype) -> dict[str, float]:
        """One decision: its ``seconds`` by the settings' clock, and its plan's ``cost``.

        Raises:
            ForesightError: the other process failed.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{form} {str(dtype).removeprefix('torch.')}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; what it said is told by the answer that is missing
        return self._answer()

    def _listen(self) -> None:
        # Without a reader a full pipe would stop the other process.
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.strip():
                self._heard.append(line.strip())

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            return dict(json.loads(line))
        except ValueError:
            self._process.wait()
            self._listener.join()
            said = self._heard[-1] if self._heard else line.strip() or "it said nothing"
            raise ForesightError(
                f"The peer under {self.python} failed ({said}): install stable-worldmodel there "
                "as docs/planning.md says."
            ) from None


def stacked_weights(networks: Sequence[ResidualDynamics]) -> dict[str, Tensor]:
    """``linear<i>.weight [E, out, in]``, ``.bias``, ``norm<i>.weight [E, width]``, ``.bias``."""
    tensors = {}
    for kind, name in ((nn.Linear, "linear"), (nn.LayerNorm, "norm")):
        layers = [[m for m in network.net if isinstance(m, kind)] for network in networks]
        for index, same in enumerate(zip(*layers, strict=True)):
            for field in ("weight", "bias"):
                values = [getattr(layer, field).detach() for layer in same]
                tensors[f"{name}{index}.{field}"] = torch.stack(values)
    return tensors
