"""The ``foresight`` command: one verb, one module, imported only when it is asked for.

A verb's module holds a dataclass ``Config``, whose field docstrings are the verb's help, and
``main(config) -> int | None``, whose number is the exit code. Everything that a user can get wrong
ends in one sentence on stderr and exit code 2.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from inspect import cleandoc  # `inspect` is a verb here
from types import ModuleType
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.extras import explain

# The sentences live here, not in the modules, so that `foresight --help` imports none of them.
VERBS = {
    "run": "learn one task from pixels, plan, evaluate beside baselines, write the report",
    "collect": "record episodes of a task into a dataset",
    "encode": "read a dataset with the frozen encoder and cache the features",
    "features": "say what distances between a dataset's features can tell apart",
    "pretrain": "make an encoder of your own: masked prediction on recorded episodes",
    "train": "learn a world model or a policy from cached features",
    "learn": "learn a task by acting in it and imagining, then measure the agent",
    "teach": "show a task once on video, and film the robot doing it",
    "evaluate": "let an agent act, beside its baselines on the same seeds",
    "serve": "let a robot elsewhere ask a policy over the network",
    "drive": "drive a robot at a fixed rate, and say how late its actions came",
    "drift": "measure how far a model's imagined features drift from the true ones",
    "imagine": "film what a model imagines beside what happened",
    "inspect": "show what a policy of action chunks decides, looks at and does",
    "replay": "execute a dataset's actions in the simulator, beside what was recorded",
    "probe": "say what an encoder sees of a task or a dataset, before any training",
    "report": "make the HTML page of a finished run",
    "envs": "list environments, check that one of your own fits, or fetch Spot's model",
    "data": "look into a dataset, check it, repair it, or import demonstrations",
    "doctor": "say what this machine can do and what it lacks",
    "bench": "measure how fast this machine is, beside the usual route",
    "reproduce": "run one of the studies by its name",
}

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``foresight VERB ARGS`` and return the exit code.

    Args:
        argv: the words after ``foresight``; ``None`` reads them from ``sys.argv``.

    Raises:
        SystemExit: from tyro, after it printed a verb's help (0) or a parse error (2).
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()  # a reader that has gone away shows itself here, not at exit
        return code
    except KeyboardInterrupt:
        print("\nInterrupted: run the same command again to resume.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise  # a bug of ours: its traceback is what we want to see
        print(f"foresight: {sentence}", file=sys.stderr)
        return USER_ERROR


def parse(words: Sequence[str]) -> tuple[ModuleType, Any]:
    """Import the module of the verb ``words[0]`` and read the other words into its ``Config``.

    Returns:
        The module and the configuration, ready for ``module.main(config)``.

    Raises:
        ForesightError: there is no such verb.
        SystemExit: from tyro, for ``--help`` (0) and for words that do not parse (2).
    """
    verb, *rest = words
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"expected one of {', '.join(VERBS)}"
        raise ForesightError(f"unknown verb {verb!r}: {hint}; `foresight --help` lists them all.")
    import tyro

    module = importlib.import_module(f"foresight.cli.{verb}")
    config = tyro.cli(
        module.Config,
        args=rest,
        prog=f"foresight {verb}",
        description=_description(module, VERBS[verb]),
    )
    return module, config


def usage() -> str:
    """The text of ``foresight --help``."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {sentence}" for verb, sentence in VERBS.items())
    return (
        "usage: foresight VERB ...\n\n"
        "Robots that imagine before they act.\n\n"
        f"verbs:\n{verbs}\n\n"
        "`foresight VERB --help` explains one verb; `foresight --version` prints the version.\n"
        "Start with:  foresight run cartpole-swingup --preset demo --beside mpc"
    )


def _dispatch(words: list[str]) -> int:
    if not words:
        print(usage(), file=sys.stderr)
        return USER_ERROR
    if words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("-V", "--version"):
        from foresight import __version__

        print(f"foresight {__version__}")
        return 0
    module, config = parse(words)
    return module.main(config) or 0


def _description(module: ModuleType, otherwise: str) -> str:
    """A verb's own words about itself: the docstring of its ``Config``, else its module's."""
    written = vars(module.Config).get("__doc__") or ""
    if not written or written.startswith("Config("):  # what dataclass writes when nobody else did
        written = module.__doc__ or otherwise.capitalize() + "."
    return cleandoc(written)


def _sentence(error: Exception) -> str | None:
    """What to tell the user about ``error``, or ``None`` for a bug."""
    if isinstance(error, ForesightError):
        return str(error)
    if isinstance(error, ImportError):
        return explain(error)
    if isinstance(error, MemoryError):
        return (
            "the memory is used up: take a smaller batch, fewer workers or a smaller preset, and "
            "run the command again."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({error.filename or 'while writing'}): free some space and run the "
            "same command again, finished work is kept."
        )
    if type(error).__name__ == "OutOfMemoryError":  # torch's own, without importing torch
        return (
            "the accelerator's memory is used up: take a smaller batch, or run on the CPU with "
            "--device cpu."
        )
    return None
