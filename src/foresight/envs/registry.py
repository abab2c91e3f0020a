"""Environments by their ids: ``make("dmc/reacher-easy", size=64, action_delay=2)``."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium

from foresight.core.errors import ForesightError
from foresight.envs import wrappers
from foresight.envs.factories import (
    Factory,
    env_ids,
    find_factory,
    full_id,
    register_env,
    register_with_gymnasium,
    registered_factory,
)
from foresight.envs.interface import is_ours, limit_of, spec_of, task_of
from foresight.envs.wrap import wrap

__all__ = ["EnvConfig", "env_ids", "limit_of", "make", "register_env", "spec_of", "task_of"]

OptionValue = bool | int | float | str

FACTORY_FIELDS = ("protocol", "cameras", "size", "quality", "look")
"""Fields that a factory takes under their own names."""
WRAP_OPTIONS = ("cameras", "fps", "state", "task")
"""What `foresight.envs.wrap.wrap` can be told of an environment that is not ours."""


@dataclass(frozen=True)
class EnvConfig:
    """Everything that makes one environment: hashable, and the same in every process."""

    id: str
    """An id of `foresight envs list`, gym/ID of one of Gymnasium's, or MODULE:ENV."""
    protocol: str | None = None
    """A preset of the environment; of dm_control: seed200 or dmc1000."""
    cameras: tuple[str, ...] | None = None
    """Cameras to look through, by name; an empty list renders nothing."""
    size: int | tuple[int, int] | None = None
    """Pixels of a picture's side, or height and width."""
    quality: Literal["fast", "smooth", "full"] | None = None
    """How carefully pictures are drawn, where a simulator draws them."""
    look: Literal["plain", "varied"] | None = None
    """Whether colours, light and camera vary from episode to episode."""
    time_limit: int | None = None
    """Decisions after which an episode is truncated."""
    action_repeat: int = 1
    """Steps for which one action is held."""
    action_delay: int = 0
    """Decisions between an action's choice and its execution."""
    observation_lag: int = 0
    """Decisions by which observations are old."""
    jitter: int = 0
    """Most decisions by which delay and lag are longer at times, drawn from the seed."""
    history: int = 1
    """States that are put together, the present one last."""
    action_history: int = 0
    """Chosen actions that join the state; with a delay of d, the last d are still on their way."""
    options: tuple[tuple[str, OptionValue], ...] = ()
    """Further options of the environment, as pairs of a name and a value."""

    def __post_init__(self) -> None:
        cameras = (self.cameras,) if isinstance(self.cameras, str) else self.cameras
        for name, value in (("cameras", cameras), ("size", self.size), ("options", self.options)):
            object.__setattr__(self, name, _frozen(value))

    @classmethod
    def of(cls, env_id: str, **options: Any) -> EnvConfig:
        """The configuration of an id; options that are no fields go to the environment itself.

        Raises:
            ForesightError: an option's value cannot be hashed.
        """
        names = {field.name for field in dataclasses.fields(cls)} - {"id", "options"}
        own = {name: _frozen(value) for name, value in options.items() if name in names}
        rest = {name: _frozen(value) for name, value in options.items() if name not in names}
        config = cls(env_id, **own, options=tuple(sorted(rest.items())))
        try:
            hash(config)
        except TypeError as error:
            raise ForesightError(
                f"An option of {env_id!r} cannot be kept ({error}): give numbers, texts or tuples "
                "of them, or register a factory that knows the rest."
            ) from error
        return config

    def make(self) -> gymnasium.Env[Any, Any]:
        """The environment.

        Raises:
            ForesightError: an unknown id or option, or an environment that does not fit.
        """
        env = _base(self)
        if self.action_repeat != 1 and not _holds(self):
            env = wrappers.ActionRepeat(env, self.action_repeat)
        if self.time_limit is not None:
            env = wrappers.TimeLimit(env, self.time_limit)
        if self.action_delay or self.observation_lag or self.jitter:
            env = wrappers.Delay(env, self.action_delay, self.observation_lag, self.jitter)
        if self.history != 1 or self.action_history:
            env = wrappers.History(env, self.history, self.action_history)
        return env

    def __reduce__(self) -> tuple[Callable[..., EnvConfig], tuple[Any, ...]]:
        """Pickled with where its factory is, so that a fresh process knows the id, too."""
        values = tuple(getattr(self, field.name) for field in dataclasses.fields(self))
        return _revived, (values, _address(registered_factory(self.id)))


def blind(env: EnvConfig) -> EnvConfig:
    """The same environment without cameras, for those who do not look."""
    return dataclasses.replace(env, cameras=(), size=None, quality=None, look=None)


def make(env_id: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """Make an environment.

    >>> import foresight
    >>> env = foresight.make("fake_robot:FakeRobot", time_limit=20, action_delay=1)
    >>> observation, info = env.reset(seed=0)
    >>> observation["images"]["front"].shape
    (32, 48, 3)

    Args:
        env_id: see `env_ids`; the bare ``reacher-easy`` is short for ``dmc/reacher-easy``.
        options: the fields of :class:`EnvConfig`, and the environment's own.

    Raises:
        ForesightError: an unknown id or option, or an environment that does not fit.
    """
    return EnvConfig.of(env_id, **options).make()


def make_for_gymnasium(
    foresight_id: str, render_mode: str | None = None, **options: Any
) -> gymnasium.Env[Any, Any]:
    """What ``gymnasium.make("foresight/...")`` calls."""
    if render_mode not in (None, "rgb_array"):
        raise ForesightError(
            f"{foresight_id} has no render mode {render_mode!r}: choose rgb_array."
        )
    return make(foresight_id, **options)


def _base(config: EnvConfig) -> gymnasium.Env[Any, Any]:
    """The environment with its own options, its cameras and their size, nothing around it."""
    env_id, factory = full_id(config.id), find_factory(config.id)
    values = {name: getattr(config, name) for name in FACTORY_FIELDS}
    wanted = {name: value for name, value in values.items() if value is not None}
    wanted.update(config.options)
    takes = _parameters(factory)
    taken = {name: wanted.pop(name) for name in list(wanted) if _takes(takes, name)}
    if config.action_repeat != 1 and _holds(config):
        taken["action_repeat"] = config.action_repeat
    made = _called(env_id, factory, taken)
    if not isinstance(made, gymnasium.Env):
        raise ForesightError(
            f"The factory of {env_id!r} made {made!r:.80}: a Gymnasium environment was expected."
        )
    env: gymnasium.Env[Any, Any] = made
    if not is_ours(env):
        told = {name: wanted.pop(name) for name in WRAP_OPTIONS if name in wanted}
        env = wrap(env, **told)
    elif "cameras" in wanted:
        env = wrappers.SelectCameras(env, wanted.pop("cameras"))
    if "size" in wanted:
        env = wrappers.ResizeImages(env, wanted.pop("size"))
    if wanted:
        listed = ", ".join(sorted(name for name in takes if not name.startswith("*"))) or "none"
        raise ForesightError(
            f"{env_id} has no option {next(iter(wanted))!r}: its own options are {listed}."
        )
    return env


def _holds(config: EnvConfig) -> bool:
    """Whether the environment holds actions itself: so no picture is drawn that nobody sees."""
    return "action_repeat" in _parameters(find_factory(config.id))


def _parameters(factory: Factory) -> set[str]:
    """Names of a factory's arguments; ``**`` where it takes any."""
    try:
        found = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # something compiled
        return {"**"}
    any_name = {"**" for p in found if p.kind is p.VAR_KEYWORD}
    named = {p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named | any_name


def _takes(parameters: set[str], name: str) -> bool:
    # A factory that hands everything on knows nothing of what we can do around it.
    return name in parameters or ("**" in parameters and name not in (*WRAP_OPTIONS, "size"))


def _called(env_id: str, factory: Factory, options: dict[str, Any]) -> Any:
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise ForesightError(
            f"{env_id} cannot be made with the options {options}: {error}; give it a factory that "
            "needs nothing more."
        ) from error
    except ValueError:  # something compiled
        pass
    return factory(**options)


def _frozen(value: Any) -> Any:
    """Lists as tuples, so that a configuration can be hashed."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _address(factory: Factory | None) -> tuple[str, str] | None:
    """Module and name of a factory that another process can import, else None."""
    module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", None)
    if factory is None or module is None or name is None or "<" in name:
        return None
    return str(module), str(name)


def _revived(values: tuple[Any, ...], address: tuple[str, str] | None) -> EnvConfig:
    config = EnvConfig(*values)
    if address is not None and registered_factory(config.id) is None:
        found: Any = importlib.import_module(address[0])
        for part in address[1].split("."):
            found = getattr(found, part, None)  # what was typed in no process has but that one
        if found is not None and registered_factory(config.id) is None:  # the import may do it
            register_env(config.id, found)
    return config


register_with_gymnasium()
