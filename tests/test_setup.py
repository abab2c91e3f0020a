"""``scripts/setup`` on machines that lack something, played by stand-ins for the system's tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ["bash", "cat", "cksum", "dirname", "env", "mkdir", "mktemp", "rm", "tail", "cp", "chmod"]

# A Python of version 3.11 that can make an environment, whose Python logs what pip is asked for.
PYTHON = """
case "$*" in
  *"import ensurepip"*) exit {venv} ;;
  *version_info*) exit {old} ;;
  --version) echo "Python 3.11.0" ;;
  "-m venv --clear .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip --version") ;;
  "-m pip install"*) echo "$*" >>"$LOG"; exit {pip} ;;
esac
"""


class Machine:
    """A checkout with nothing but ``scripts/setup`` and a PATH of stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.bin, self.log = folder / "checkout", folder / "bin", folder / "log"
        (self.checkout / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(ROOT / "scripts" / "setup", self.checkout / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            (self.checkout / name).write_text("")
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or f"/no/{tool}")
        self.tool("uname", "echo Linux")
        self.tool("id", "echo 1000")
        self.tool("ldconfig", "echo libOSMesa.so.8")
        self.tool("chromium", "")

    def tool(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
        (self.bin / name).chmod(0o755)

    def python(self, name: str = "python3", venv: int = 0, old: int = 0, pip: int = 0) -> None:
        self.tool(name, PYTHON.format(venv=venv, old=old, pip=pip))

    def setup(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.checkout / "scripts" / "setup", *words],
            env={"PATH": str(self.bin), "LOG": str(self.log), **settings},
            cwd="/",
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    # /sbin/ldconfig would tell of the real machine's libraries.
    machine = Machine(tmp_path)
    text = (machine.checkout / "scripts" / "setup").read_text()
    (machine.checkout / "scripts" / "setup").write_text(text.replace(":/sbin:/usr/sbin", ""))
    return machine


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stderr.startswith("setup: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_torch_first_then_the_rest_and_then_nothing_more(machine):
    machine.python()
    assert machine.setup().returncode == 0
    torch, rest = machine.calls()
    assert torch.endswith("-c constraints.txt torch==2.13.0")
    assert rest.endswith("-c constraints.txt -e .[dev]")
    again = machine.setup()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(machine.calls()) == 2


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_pins_install_again(machine, name):
    machine.python()
    machine.setup()
    (machine.checkout / name).write_text("changed")
    assert machine.setup().returncode == 0
    assert len(machine.calls()) == 4


def test_a_checkout_that_was_moved_installs_again(machine):
    machine.python()
    machine.setup()
    moved = machine.checkout.with_name("moved")
    machine.checkout.rename(moved)
    machine.checkout = moved
    assert machine.setup().returncode == 0
    assert len(machine.calls()) == 4


def test_a_failed_installation_is_said_and_tried_again(machine):
    machine.python(pip=1)
    assert "pip could not install torch==2.13.0" in sentence(machine.setup())
    shutil.rmtree(machine.checkout / ".venv")
    machine.python()
    assert machine.setup().returncode == 0


def test_an_environment_whose_python_is_gone_is_made_anew(machine):
    machine.python()
    machine.setup()
    (machine.checkout / ".venv" / "bin" / "python").unlink()
    assert machine.setup().returncode == 0
    assert (machine.checkout / ".venv" / "bin" / "python").exists()


def test_no_python(machine):
    assert "no Python 3.11 or newer was found;" in sentence(machine.setup())


def test_old_pythons_and_shims_that_fail_are_passed_over(machine):
    machine.tool("python3.11", "echo 'pyenv: python3.11: command not found' >&2; exit 127")
    machine.python("python3", old=1)
    assert "no Python 3.11 or newer" in sentence(machine.setup())
    machine.python("python")
    assert machine.setup().returncode == 0


def test_the_python_that_was_asked_for(machine):
    machine.python()
    assert "found at /no/python;" in sentence(machine.setup(PYTHON="/no/python"))


def test_python_without_venv(machine):
    machine.python(venv=1)
    assert "python3-venv" in sentence(machine.setup())
    assert machine.calls() == []


def test_no_renderer_and_not_root(machine):
    machine.python()
    machine.tool("ldconfig", "")
    said = sentence(machine.setup())
    for package in [
        "libegl1",
        "libgl1",
        "libgles2",
        "libegl-mesa0",
        "libgl1-mesa-dri",
        "libosmesa6",
    ]:
        assert package in said
    assert machine.setup(FORESIGHT_SKIP_SYSTEM="1").returncode == 0


def test_root_gets_the_renderer_installed(machine):
    machine.python()
    machine.tool("id", "echo 0")
    libraries = machine.bin / "libraries"
    machine.tool("ldconfig", f"cat {libraries} 2>/dev/null")
    installing = f'[[ "$*" != *install* ]] || echo libOSMesa.so.8 >{libraries}'
    machine.tool("apt-get", f'echo "apt $*" >>"$LOG"; {installing}')
    assert machine.setup().returncode == 0
    install = machine.calls()[1]
    assert "install" in install and "libosmesa6" in install and "libegl1" in install
    assert len([call for call in machine.calls() if call.startswith("apt")]) == 2


def test_root_without_network(machine):
    machine.python()
    machine.tool("id", "echo 0")
    machine.tool("ldconfig", "")
    machine.tool("apt-get", "echo 'E: no network' >&2; exit 100")
    done = machine.setup()
    assert done.returncode == 1
    assert "E: no network" in done.stderr and "libosmesa6" in done.stderr


def test_the_browser_is_asked_for_only_when_wanted_and_never_needed(machine):
    machine.python()
    (machine.bin / "chromium").unlink()
    assert "Chromium" not in machine.setup().stdout
    done = machine.setup("--browser")
    assert done.returncode == 0
    assert "the screenshot test is skipped" in done.stdout


def test_unknown_option(machine):
    assert "unknown option --fast" in sentence(machine.setup("--fast"))
