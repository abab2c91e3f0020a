"""The entry point: dispatch, exit codes and the sentences that a user reads."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from foresight import cli
from foresight.core.errors import ForesightError


@dataclass
class Config:
    """A verb for tests."""

    number: int = 1
    """A number."""


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable], None]:
    """Put a function in the place of the verb ``report``."""

    def install(main: Callable) -> None:
        module = types.ModuleType("foresight.cli.report")
        module.Config, module.main = Config, main
        monkeypatch.setitem(sys.modules, "foresight.cli.report", module)

    return install


def raising(error: BaseException) -> Callable:
    def main(_: Config) -> int:
        raise error

    return main


def one_sentence(text: str) -> str:
    assert text.startswith("foresight: ")
    assert text.count("\n") == 1 and "Traceback" not in text
    return text


def test_config_reaches_the_verb_and_its_number_is_the_exit_code(verb):
    verb(lambda config: config.number)
    assert cli.main(["report", "--number", "7"]) == 7


def test_a_verb_that_returns_nothing_succeeded(verb):
    verb(lambda config: None)
    assert cli.main(["report"]) == 0


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("evalaute", "did you mean 'evaluate'"), ("xyzzy", "expected one of run, collect")],
)
def test_unknown_verb(typed, hint, capsys):
    assert cli.main([typed]) == 2
    assert hint in one_sentence(capsys.readouterr().err)


def test_foresight_error_is_one_sentence_and_exit_code_2(verb, capsys):
    verb(raising(ForesightError("the task 'x' is unknown: take 'y'.")))
    assert cli.main(["report"]) == 2
    assert (
        one_sentence(capsys.readouterr().err) == "foresight: the task 'x' is unknown: take 'y'.\n"
    )


def test_interrupt_says_how_to_resume(verb, capsys):
    verb(raising(KeyboardInterrupt()))
    assert cli.main(["report"]) == 130
    assert capsys.readouterr().err == "\nInterrupted: run the same command again to resume.\n"


def test_memory_and_disk_that_are_used_up(verb, capsys):
    verb(raising(MemoryError()))
    assert cli.main(["report"]) == 2
    assert "memory is used up" in one_sentence(capsys.readouterr().err)
    verb(raising(OSError(errno.ENOSPC, "No space left", "/x/y")))
    assert cli.main(["report"]) == 2
    assert "disk is full (/x/y)" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize(
    "bug", [OSError(errno.EIO, "I/O"), RuntimeError("shape"), KeyError("x"), ValueError("y")]
)
def test_bugs_keep_their_traceback(verb, bug):
    verb(raising(bug))
    with pytest.raises(type(bug)):
        cli.main(["report"])


def test_words_that_do_not_parse(verb, capsys):
    verb(lambda config: 0)
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", "--number", "many"])
    assert stop.value.code == 2
    assert "many" in capsys.readouterr().err


def test_help_of_a_verb_shows_its_docstrings(verb, capsys):
    verb(lambda config: 0)
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert "A verb for tests." in out and "A number. (default: 1)" in out


def test_no_verb_prints_the_usage(capsys):
    assert cli.main([]) == 2
    assert "usage: foresight" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in cli.VERBS)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "foresight 0.1.0\n"


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_is_there_and_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert f"usage: foresight {name}" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from foresight.cli import main; main(['--help']);"
        "heavy = {'torch', 'numpy', 'tyro', 'rich', 'mujoco', 'transformers'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["collect", "report", "data", "doctor"])
def test_a_verb_without_learning_needs_no_torch_for_its_help(name):
    script = (
        "import sys; from foresight.cli import main\n"
        f"try: main([{name!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "foresight", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == cli.BROKEN_PIPE
    assert done.stderr == b""
