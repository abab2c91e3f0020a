"""Privileged: what may look into a simulator. Controllers, feedback laws, the oracle."""

from foresight.core.errors import ForesightError
from foresight.core.policy import Policy
from foresight.core.spec import Spec
from foresight.envs.libero.tasks import NAMESPACE as LIBERO
from foresight.envs.metaworld.tasks import NAMESPACE as METAWORLD
from foresight.envs.metaworld.tasks import TASKS
from foresight.envs.planar.tasks import TASKS as PLANAR
from foresight.envs.spot.tasks import NAMESPACE as SPOT
from foresight.envs.spot.tasks import TASKS as SPOT_TASKS
from foresight.experts.noisy import NoisyExpert, noisy_expert
from foresight.policies.registry import register_policy

__all__ = ["NoisyExpert", "has_expert"]

WANDERER = "wanderer"
"""The expert of a planar task that goes on to other places, for recordings."""


def has_expert(kind: str, env_id: str) -> bool:
    """Whether an environment has an ``expert``, or an ``oracle`` for its reward."""
    from foresight.envs.dmc.tasks import canonical
    from foresight.experts.controllers import EXPERTS
    from foresight.experts.expert import NAMESPACE
    from foresight.experts.feedback import known_laws
    from foresight.experts.oracle_settings import ORACLE_SETTINGS

    if env_id in PLANAR:
        return kind in ("expert", WANDERER)
    if env_id.startswith(METAWORLD):
        return kind == "expert" and env_id.removeprefix(METAWORLD) in TASKS
    if env_id.startswith(SPOT):
        return kind == "expert" and env_id.removeprefix(SPOT) in SPOT_TASKS
    if env_id.startswith(LIBERO):
        from foresight.experts.libero import can_show

        return kind == "expert" and can_show(env_id)
    task = canonical(env_id.removeprefix(NAMESPACE))
    if kind == "oracle":
        return task in ORACLE_SETTINGS
    return (kind, task) in EXPERTS or (kind == "expert" and task in known_laws())


def _scripted(name: str, spec: Spec, env_id: str | None) -> Policy:
    if env_id is not None and has_expert(name, env_id) and env_id.startswith(METAWORLD):
        from foresight.experts.metaworld import MetaWorldExpert

        return MetaWorldExpert(env_id, spec)
    if name == "expert" and env_id in PLANAR:
        return _planar(name, spec, env_id)
    if env_id is not None and has_expert(name, env_id) and env_id.startswith(SPOT):
        from foresight.experts.spot import SpotExpert

        return SpotExpert(spec)
    if name == "expert" and env_id is not None and env_id.startswith(LIBERO):
        from foresight.experts.libero import LiberoExpert

        return LiberoExpert(env_id, spec)
    from foresight.experts.controllers import make_expert
    from foresight.experts.expert import task_of

    return make_expert(name, task_of(name, env_id), spec)


def _wanderer(name: str, spec: Spec, env_id: str | None) -> Policy:
    return _planar(WANDERER, spec, env_id)


def _planar(name: str, spec: Spec, env_id: str | None) -> Policy:
    from foresight.experts.planar import PlanarExpert

    if env_id not in PLANAR:
        raise ForesightError(
            f"There is no {name!r} for {env_id or 'an unknown environment'}: it knows "
            f"{', '.join(PLANAR)}."
        )
    return PlanarExpert(spec, wander=name == WANDERER)


def _oracle(name: str, spec: Spec, env_id: str | None) -> Policy:
    from foresight.experts.expert import task_of
    from foresight.experts.oracle import Oracle

    return Oracle(task_of(name, env_id), spec)


register_policy("expert", _scripted)
register_policy("oracle", _oracle)
register_policy(WANDERER, _wanderer)
register_policy("noisy", noisy_expert, "noisy:0.6:expert")
