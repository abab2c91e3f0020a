"""Say what this machine can do and what it lacks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from foresight.core.extras import EXTRAS, install_command
from foresight.core.home import foresight_home
from foresight.core.provenance import ABSENT, PACKAGES, git_revision, versions

NEEDED_GIB = 2.0
GL_PACKAGES = "libegl1 libgl1 libgles2 libegl-mesa0 libgl1-mesa-dri libosmesa6"
REINSTALL = "make setup"

# Renders a red ball in its own process: a GL library that is broken may end the whole process.
_RENDER = """
import json, time
from foresight.envs.gl import choose_gl
backend = choose_gl()
import mujoco
from foresight.envs.render import FrameRenderer, RenderSettings
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><camera pos='0 0 2'/>"
    "<geom size='.3' rgba='1 0 0 1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = FrameRenderer(model, RenderSettings())
renderer.render(data)
start = time.perf_counter()
for _ in range(20):
    frame = renderer.render(data)
rate = 20 / (time.perf_counter() - start)
assert frame[..., 0].max() > 50 + frame[..., 1].max(), "the test frame came back without its ball"
print(json.dumps({"backend": backend, "rate": rate}))
"""


@dataclass
class Config:
    """Say what this machine can do, what it lacks and the command that mends it.

    The exit code is 0 when everything that Foresight needs is there, else 1.
    """

    json: bool = False
    """Print JSON instead of a table."""
    path: Path = Path()
    """The folder whose disk is checked for free space."""
    encoder: str = ""
    """An encoder's folder, file or hub id: say which V-JEPA it is and which part of it is read."""


@dataclass(frozen=True)
class Check:
    """One finding: ``ok`` or not, and whether Foresight can work without it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True


def main(config: Config) -> int:
    """Print every check; 1 when something that is needed is missing."""
    checks = list(examine(config.path, config.encoder))
    healthy = all(check.ok for check in checks if check.needed)
    if config.json:
        found = {"healthy": healthy, "checks": [asdict(check) for check in checks]}
        print(json.dumps(found, indent=1))
    else:
        _print(checks)
    return 0 if healthy else 1


def examine(path: Path, encoder: str = "") -> Iterator[Check]:
    """Run all checks, one at a time; a check that fails by surprise becomes a finding."""
    examinations: list[tuple[str, Callable[[], Check]]] = [
        ("python", check_python),
        ("packages", check_packages),
        ("extras", check_extras),
        ("torch", check_torch),
        ("bf16", check_bf16),
        ("native encoder", check_native),
        ("rendering", check_rendering),
        ("video", check_video),
        ("disk", lambda: check_disk(path)),
        ("encoders", check_encoders),
        ("git", check_git),
    ]
    if encoder:
        examinations.append(("encoder", lambda: check_encoder(encoder)))
    for name, examination in examinations:
        try:
            yield examination()
        except Exception as error:  # a broken installation can fail anywhere, and that is the news
            yield Check(name, False, f"{type(error).__name__}: {error}", REINSTALL)


def check_python() -> Check:
    """Python 3.11 or newer."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), version, "install Python 3.11")


def check_packages() -> Check:
    """Every package that the core of Foresight needs is there."""
    found = {name: version for name, version in versions().items() if name in PACKAGES}
    core = {name: version for name, version in found.items() if name not in EXTRAS}
    absent = [name for name, version in core.items() if version == ABSENT]
    if absent:
        return Check("packages", False, f"missing: {', '.join(absent)}", REINSTALL)
    return Check("packages", True, ", ".join(f"{name} {there}" for name, there in core.items()))


def check_extras() -> Check:
    """Which extras are installed, and that MuJoCo and dm_control are the pair that works."""
    found = versions(EXTRAS)
    pair = (found["mujoco"], found["dm_control"])
    if ABSENT not in pair and pair != ("3.3.2", "1.0.30"):
        words = f"mujoco {pair[0]} with dm_control {pair[1]} do not work together"
        return Check("extras", False, words, install_command("dmc"))
    there = ", ".join(f"{name} {version}" for name, version in found.items() if version != ABSENT)
    absent = sorted({extra for name, extra in EXTRAS.items() if found[name] == ABSENT})
    if absent:
        words = f"{there or 'none'}; not installed: {', '.join(absent)}"
        return Check("extras", False, words, install_command(",".join(absent)), needed=False)
    return Check("extras", True, there, needed=False)


def check_torch() -> Check:
    """The device that torch can use."""
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        device = f"cuda ({torch.cuda.get_device_name(0)}, {memory:.0f} GiB)"
    elif torch.backends.mps.is_available():
        device = "mps"
    elif shutil.which("nvidia-smi"):
        found = f"{torch.__version__} sees no GPU, although nvidia-smi is here"
        fix = (
            f"install a CUDA build of torch {torch.__version__.split('+')[0]}: https://pytorch.org"
        )
        return Check("torch", False, found, fix, needed=False)
    else:
        device = f"cpu ({torch.get_num_threads()} threads)"
    return Check("torch", True, f"{torch.__version__} on {device}")


def check_bf16() -> Check:
    """Whether bfloat16 is fast here, by the hardware's word and by a measurement."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    fast = _seconds(torch.bfloat16, device)
    ratio = _seconds(torch.float32, device) / fast
    rate = 2 * 1024**3 / fast / 1e12
    found = f"{ratio:.1f} x the speed of fp32 on {device} ({rate:.2f} TFLOP/s), {_bf16_units()}"
    advice = "" if ratio > 1 else "nothing to mend: fp32 is used here"
    return Check("bf16", ratio > 1, found, advice, needed=False)


def check_native() -> Check:
    """Whether the encoder runs in C++ here."""
    from foresight.native import library, why_not

    if library() is not None:
        return Check("native encoder", True, "compiled for AMX", needed=False)
    compiler = "compiler" in why_not()
    advice = _apt("g++") if compiler else "nothing to mend: it runs as torch's operations"
    return Check("native encoder", False, why_not(), advice, needed=False)


def check_rendering() -> Check:
    """Render a test frame in a process of its own; without the extra dmc nothing is rendered."""
    if versions(["mujoco"])["mujoco"] == ABSENT:
        words = "no simulator is installed: robot data needs none"
        return Check("rendering", False, words, install_command("dmc"), needed=False)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _RENDER],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check("rendering", False, "no frame within 120 s", _gl_fix())
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        fix = REINSTALL if last.startswith("ModuleNotFoundError") else _gl_fix()
        return Check("rendering", False, last, fix)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Check("rendering", True, f"{found['backend']}, {found['rate']:.0f} frames/s at 64 px")


def check_video() -> Check:
    """PyAV with the encoders for datasets (libx264rgb, lossless) and reports (libx264)."""
    import av

    missing = [name for name in ("libx264rgb", "libx264") if name not in av.codecs_available]
    if missing:
        return Check("video", False, f"PyAV lacks {', '.join(missing)}", "pip install 'av>=18'")
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return Check("video", True, f"PyAV {av.__version__}, libavcodec {codec}, libx264, libx264rgb")


def check_disk(path: Path) -> Check:
    """Free space where runs are written."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free / 2**30
    fix = f"free at least {NEEDED_GIB:.0f} GiB, or run with --out on another disk"
    return Check("disk", free >= NEEDED_GIB, f"{free:.1f} GiB free at {there}", fix)


def check_encoders() -> Check:
    """Which V-JEPA 2 encoders lie in the local model cache; a small one is in the package."""
    if versions(["huggingface_hub"])["huggingface_hub"] == ABSENT:
        words = "foresight-small only; others are fetched with huggingface_hub"
        return Check("encoders", False, words, install_command("hub"), needed=False)
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    models = sorted(
        folder.name.removeprefix("models--").replace("--", "/")
        for folder in cache.glob("models--*vjepa2*")
        if any(folder.glob("snapshots/*/*.safetensors"))
    )
    made = foresight_home() / "encoders"
    own = sorted(folder.name for folder in made.glob("*") if (folder / "config.json").exists())
    found = f"{', '.join(models) or 'no V-JEPA 2'} in {cache}; {', '.join(own) or 'none'} in {made}"
    fix = "hf download facebook/vjepa2-vitl-fpc64-256   (foresight-small works without)"
    return Check("encoders", bool(models), found, fix, needed=False)


def check_encoder(name: str) -> Check:
    """What a checkpoint is, and which part of it is taken."""
    from foresight.core.errors import ForesightError
    from foresight.perception.checkpoint import open_checkpoint

    try:
        return Check("encoder", True, open_checkpoint(name).describe())
    except ForesightError as error:
        return Check("encoder", False, str(error), "give another --encoder")


def check_git() -> Check:
    """Git lets every result name the commit that made it."""
    if shutil.which("git") is None:
        return Check("git", False, "not installed", _apt("git"), needed=False)
    revision = git_revision()
    fix = "nothing to mend: results say 'unknown' for the revision" if revision == "unknown" else ""
    return Check("git", revision != "unknown", revision, fix, needed=False)


def _seconds(dtype: object, device: str) -> float:
    """The fastest of five 1024 x 1024 matrix products, or of those that begin in half a second.

    A processor without units for a type can take seconds for one.
    """
    import torch

    left = torch.randn(1024, 1024, device=device).to(dtype)  # type: ignore[call-overload]
    best, begun = float("inf"), time.perf_counter()
    for _ in range(6):  # the first one is the warm-up, and hardly ever the fastest
        start = time.perf_counter()
        if start > begun + 0.5:
            break
        left @ left
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def _bf16_units() -> str:
    """The hardware units for bfloat16 that the processor or the accelerator names."""
    import torch

    if torch.cuda.is_available():
        return "supported by the GPU" if torch.cuda.is_bf16_supported() else "emulated by the GPU"
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return "hardware support unknown"
    units = [unit for unit in ("amx_bf16", "avx512_bf16", "bf16") if unit in words]
    return f"hardware units: {', '.join(units) or 'none'}"


def _gl_fix() -> str:
    return _apt(GL_PACKAGES) if sys.platform == "linux" else "install a working OpenGL driver"


def _apt(packages: str) -> str:
    sudo = "" if not hasattr(os, "geteuid") or os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install -y {packages}"


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True)  # commands stay whole, so that they can be copied
    table = Table.grid(padding=(0, 2))
    for check in checks:
        table.add_row(_mark(check), check.name, escape(check.found))
    console.print(table)
    to_mend = [check for check in checks if not check.ok and check.fix]
    for check in to_mend:
        console.print(f"\n{check.name}:  {escape(check.fix)}")
    missing = [check.name for check in checks if check.needed and not check.ok]
    verdict = f"Still needed: {', '.join(missing)}." if missing else "All that is needed is here."
    console.print(f"\n{verdict}")


def _mark(check: Check) -> str:
    if check.ok:
        return "[green]ok[/]"
    return "[red]missing[/]" if check.needed else "[yellow]note[/]"
