"""Ids of environments and who makes them: our own, installed packages', and those at hand.

An id is looked up in this order: what :func:`register_env` was told, the tasks of dm_control,
Meta-World, LIBERO and Spot, the planar ones, installed packages (entry-point group
``foresight.envs``), ``gym/ID`` for Gymnasium's own registry, and ``MODULE:ENV`` for what can be
imported.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import gymnasium

from foresight.core.errors import ForesightError, first_line
from foresight.envs.dmc import protocol as dmc
from foresight.envs.dmc.tasks import canonical, task_ids
from foresight.envs.libero import tasks as libero
from foresight.envs.metaworld import tasks as metaworld
from foresight.envs.planar import tasks as planar
from foresight.envs.spot import tasks as spot

Factory = Callable[..., "gymnasium.Env[Any, Any]"]

GROUP = "foresight.envs"
"""The entry-point group in which packages offer environments."""
DMC = "dmc/"
GYM = "gym/"
METAWORLD = metaworld.NAMESPACE
LIBERO = libero.NAMESPACE
SPOT = spot.NAMESPACE
RESERVED = (DMC, METAWORLD, LIBERO, SPOT, *planar.NAMESPACES, GYM)
ID = re.compile(r"[\w.-]+/[\w.-]+|[\w.-]+")

_registered: dict[str, Factory] = {}


def register_env(env_id: str, factory: Factory) -> None:
    """Give an environment an id, for `make`, for every verb and for ``gymnasium.make``.

    >>> import foresight
    >>> from fake_robot import FakeRobot  # any Gymnasium environment
    >>> foresight.register_env("lab/cart", FakeRobot)
    >>> env = foresight.make("lab/cart", limit=10)

    Args:
        env_id: ``NAMESPACE/NAME`` in letters, digits, ``_``, ``.`` and ``-``.
        factory: a class or function; its keyword arguments are the environment's options. What it
            makes may be any Gymnasium environment: one that is not ours goes through
            `foresight.envs.wrap.wrap`.

    Raises:
        ForesightError: another factory has this id, or it is no id.
    """
    if not isinstance(env_id, str) or not ID.fullmatch(env_id) or env_id.startswith(RESERVED):
        raise ForesightError(
            f"{env_id!r} cannot be the id of an environment: write NAMESPACE/NAME in letters, "
            f"digits, '_', '.' and '-', with a namespace other than "
            f"{', '.join(name.removesuffix('/') for name in RESERVED)}."
        )
    if not callable(factory):
        raise ForesightError(
            f"The factory of {env_id!r} is {factory!r}: pass a class or a function that makes the "
            "environment."
        )
    if _registered.get(env_id, factory) is not factory:
        raise ForesightError(f"{env_id!r} is taken by {_registered[env_id]!r}: choose another id.")
    _registered[env_id] = factory
    _tell_gymnasium(env_id)


def env_ids() -> list[str]:
    """All ids that can be made here, sorted; Gymnasium's own (``gym/...``) are not listed."""
    own = {DMC + task for task in task_ids()} | {METAWORLD + task for task in metaworld.TASKS}
    own |= {LIBERO + task for task in libero.TASKS} | set(planar.TASKS)
    own |= {LIBERO + task for task in libero.TASKS} | {SPOT + task for task in spot.TASKS}
    return sorted(own | set(_registered) | set(_offered()))


def full_id(env_id: str) -> str:
    """The one spelling of an id: ``reacher-easy`` is short for ``dmc/reacher-easy``, and a number
    for the name of a task in ``libero/spatial/0``.

    Raises:
        ForesightError: there is no such environment; the sentence names the closest ids.
    """
    name = str(env_id)
    known = name in _registered or name in _offered() or name in planar.TASKS
    if known or name.startswith(GYM) or ":" in name:
        return name
    for suite, tasks in ((METAWORLD, metaworld.TASKS), (SPOT, spot.TASKS)):
        if name.startswith(suite) and name.removeprefix(suite) in tasks:
            return name
    if name.startswith(LIBERO):
        found = libero.canonical(name.removeprefix(LIBERO))
        if found is None:
            raise _unknown(name)
        return LIBERO + found
    task = canonical(name.removeprefix(DMC))
    if task in task_ids():
        return DMC + task
    raise _unknown(name)


def default_protocol(env_id: str) -> str | None:
    """The preset of an environment where nobody names one; None for one without presets."""
    name = full_id(env_id)
    if name in planar.TASKS:
        return planar.DEFAULT
    defaults = (
        (DMC, dmc.DEFAULT),
        (METAWORLD, metaworld.DEFAULT),
        (LIBERO, libero.DEFAULT),
        (SPOT, spot.DEFAULT),
    )
    return next((default for suite, default in defaults if name.startswith(suite)), None)


def find_factory(env_id: str) -> Factory:
    """The factory of an id.

    Raises:
        ForesightError: there is no such environment, or it cannot be imported.
    """
    name = full_id(env_id)
    if name in _registered:
        return _registered[name]
    if name.startswith((DMC, METAWORLD, LIBERO, SPOT)):
        return _of_suite(*name.split("/", 1))
    if name in planar.TASKS:
        return _of_suite("planar", name)
    if name.startswith(GYM):
        return _gymnasiums(name.removeprefix(GYM))
    offered = _offered().get(name)
    return _imported(name) if offered is None else _loaded(name, offered)


def registered_factory(env_id: str) -> Factory | None:
    """What :func:`register_env` was told in this process, or None."""
    return _registered.get(env_id)


def register_with_gymnasium() -> None:
    """Make every id known to ``gymnasium.make`` as ``foresight/NAMESPACE-NAME``."""
    for env_id in env_ids():
        _tell_gymnasium(env_id)


def _tell_gymnasium(env_id: str) -> None:
    name = "foresight/" + env_id.replace("/", "-")
    if name in gymnasium.registry:
        return
    gymnasium.register(
        name,
        entry_point="foresight.envs.registry:make_for_gymnasium",
        kwargs={"foresight_id": env_id},
    )


def _of_suite(suite: str, task: str) -> Factory:
    module = importlib.import_module(f"foresight.envs.{suite}.environment")

    def factory(**options: Any) -> gymnasium.Env[Any, Any]:
        return module.make_task(task, **options)  # type: ignore[no-any-return]

    signature = _signature_without(module.make_task, "task")
    factory.__signature__ = signature  # type: ignore[attr-defined]
    return factory


def _signature_without(function: Callable[..., Any], name: str) -> Any:
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.name != name]
    return signature.replace(parameters=kept)


def _gymnasiums(gym_id: str) -> Factory:
    def factory(**options: Any) -> gymnasium.Env[Any, Any]:
        try:
            options.setdefault("render_mode", "rgb_array")
            return gymnasium.make(gym_id, **options)
        except (gymnasium.error.Error, ImportError) as error:
            raise ForesightError(
                f"Gymnasium cannot make {gym_id!r} ({first_line(error)}): check its id, and that "
                "the package it comes from is installed."
            ) from error

    return factory


@cache
def _offered() -> dict[str, EntryPoint]:
    """What installed packages offer."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _loaded(name: str, point: EntryPoint) -> Factory:
    try:
        factory: Factory = point.load()
    except Exception as error:  # a stranger's package may fail in any way
        package = point.dist.name if point.dist is not None else point.value
        raise ForesightError(
            f"The environment {name!r} of the package {package} does not load "
            f"({type(error).__name__}: {first_line(error)}): reinstall or update that package."
        ) from error
    return factory


def _imported(name: str) -> Factory:
    """The class or function of ``MODULE:ENV``; modules of the working directory count."""
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ForesightError(
            f"{name!r} cannot be imported ({type(error).__name__}: {first_line(error)}): expected "
            "MODULE:ENV of a module that Python finds from here."
        ) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ForesightError(
            f"The module {module_name} has no class or function {attribute!r}: expected MODULE:ENV."
        )
    factory: Factory = found
    return factory


def _unknown(name: str) -> ForesightError:
    known = env_ids()
    short = [env_id.removeprefix(DMC) for env_id in known]
    close = difflib.get_close_matches(name, [*known, *short], n=3, cutoff=0.5)
    return ForesightError(
        f"Unknown environment {name!r}: expected an id such as "
        f"{', '.join(dict.fromkeys(close)) or 'dmc/reacher-easy'}, gym/ID of one of Gymnasium's, "
        "or MODULE:ENV; `foresight envs list` lists them."
    )
