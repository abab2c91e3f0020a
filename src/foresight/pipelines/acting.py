"""What a checkpoint, or a name, lets act, and in which environment."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from foresight.core.checkpoint import Header, checkpoint_types, load, read_header
from foresight.core.errors import ForesightError
from foresight.core.policy import Policy
from foresight.core.spec import Spec
from foresight.envs.interface import spec_of
from foresight.envs.registry import EnvConfig
from foresight.evaluation.config import is_dmc
from foresight.perception.config import EncoderConfig
from foresight.pipelines.planners import (
    GOAL_SEARCH,
    DelayedPlannerFactory,
    PlannerConfig,
    PlannerFactory,
)
from foresight.planning.lewm import FAST_PLAN, LeWMPlan
from foresight.policies.actor import TYPE as ACTOR
from foresight.policies.actor import ActorFactory
from foresight.policies.adaptive.config import Adaptation
from foresight.policies.adaptive.policy import AdaptiveFactory
from foresight.policies.chunk.policy import TYPE as CHUNKS
from foresight.policies.chunk.policy import ChunkActing, ChunkFactory
from foresight.policies.delayed.compensator import EstimatedDelay, Lateness
from foresight.policies.delayed.policy import DelayedFactory
from foresight.policies.delayed.queue import Delays
from foresight.policies.latent import ClonedFactory
from foresight.policies.lewm import InverseFactory, LeWMFactory
from foresight.policies.mpc import MPCFactory
from foresight.policies.predictor import PredictorFactory
from foresight.policies.registry import MakePolicy, NamedPolicy
from foresight.worldmodel.lewm.inverse import TYPE as INVERSE
from foresight.worldmodel.lewm.model import TYPE as LEWM
from foresight.worldmodel.predictor.checkpoint import KIND as PREDICTOR

LOOKING = ("replay", "remote")
"""Kinds of named policies that are shown pictures without being asked for."""
Compensate = Literal["none", "known", "auto"] | int
"""Delays that a planning agent reckons with: none; the environment's own; found out in every
episode; or so many steps from an action's choice to its execution."""


@dataclass(frozen=True)
class Acting:
    """A policy that is ready to be evaluated.

    Attributes:
        maker: makes it.
        env: where it acts, with the pictures that it takes.
        method: its name in tables.
        folder: of its checkpoint, if it has one.
    """

    maker: MakePolicy
    env: EnvConfig
    method: str
    folder: Path | None = None


@dataclass(frozen=True)
class LoadedFactory:
    """Makes a policy that is a checkpoint's own object; picklable."""

    checkpoint: str

    def __call__(self, spec: Spec) -> Policy:
        """Load it and compare the robots.

        Raises:
            ForesightError: it cannot be loaded, or was made for another robot.
        """
        known = read_header(self.checkpoint).spec
        if known is not None:
            known.expect(spec, f"The policy {self.checkpoint}", "the environment", ("action",))
        found: Policy = load(self.checkpoint)
        return found


def policy_of(
    what: str,
    env: EnvConfig,
    planner: PlannerConfig = GOAL_SEARCH,
    device: str = "cpu",
    chunk: ChunkActing | None = None,
    anywhere: bool = False,
    lateness: Lateness | None = None,
    lewm: LeWMPlan | None = None,
    adaptation: Adaptation | None = None,
) -> Acting:
    """The policy of a checkpoint's folder or of a name.

    Args:
        what: a folder, or a name of `foresight.policies.make_policy`.
        env: where; an empty id stands for the one that a checkpoint was trained in.
        planner: of world models that were trained offline.
        device: where networks run.
        chunk: of policies that decide chunks.
        anywhere: a policy that needs no environment may have none: it is for a robot.
        lateness: of the robot, which a world model is rolled through; None ignores it.
        lewm: how a LeWorldModel is planned with.
        adaptation: how a world model learns on while it acts; None leaves it as it is.

    Raises:
        ForesightError: no such folder or policy, no environment for a policy's name, a checkpoint
            that cannot act, delays for a policy without a world model, or an adaptation of one, or
            of one for delays.
    """
    folder = Path(what)
    if folder.is_dir():
        found = _of_checkpoint(folder, env, planner, device, chunk, anywhere, lewm)
        return _reckoning(found, lateness, adaptation)
    if "/" in what.partition(":")[0] or not env.id:
        raise ForesightError(
            f"{what!r} does not exist: give a checkpoint's folder, or the name of a policy and "
            "where it acts, for example `random --env reacher-easy`."
        )
    kind = what.partition(":")[0]
    if kind not in LOOKING and env.cameras is None:
        env = replace(env, cameras=())
    return _reckoning(Acting(NamedPolicy(what, env.id), env, kind), lateness, adaptation)


def lateness_of(compensate: Compensate, env: EnvConfig) -> Lateness | None:
    """What `policy_of` is to be told of an environment's delays.

    Raises:
        ForesightError: a number of steps below 0.
    """
    if compensate == "none":
        return None
    if compensate == "auto":
        return EstimatedDelay()
    if compensate == "known":
        return Delays(env.action_delay, env.observation_lag, env.jitter)
    return Delays(compensate)


def _reckoning(found: Acting, lateness: Lateness | None, adaptation: Adaptation | None) -> Acting:
    """The same agent, for a robot that acts late, or for one that is not as it was."""
    if lateness is not None and adaptation is not None:
        raise ForesightError(
            "A model is either rolled through delays or adapted while acting, not both: leave "
            "--compensate or --adapt out."
        )
    if adaptation is not None:
        return _adapting(found, adaptation)
    return found if lateness is None else _delayed(found, lateness)


def _adapting(found: Acting, adaptation: Adaptation) -> Acting:
    if not isinstance(found.maker, MPCFactory):
        raise ForesightError(
            f"{found.method} has no world model of `foresight learn`, which could be adapted while "
            "acting: leave --adapt out, or give the folder of one."
        )
    maker = AdaptiveFactory(**_fields(found.maker), adaptation=adaptation)
    return replace(found, maker=maker, method=f"{found.method}-adapted")


def _delayed(found: Acting, lateness: Lateness) -> Acting:
    """The same agent, planning from where the actions under way will have led."""
    maker: MakePolicy
    if isinstance(found.maker, MPCFactory):
        maker = DelayedFactory(**_fields(found.maker), lateness=lateness)
    elif isinstance(found.maker, PlannerFactory):
        maker = DelayedPlannerFactory(**_fields(found.maker), lateness=lateness)
    else:
        raise ForesightError(
            f"{found.method} has no world model to roll through the actions under way: leave "
            "--compensate out, or give the folder of a world model."
        )
    return replace(found, maker=maker, method=f"{found.method}-compensated")


def _fields(maker: MPCFactory | PlannerFactory) -> dict[str, Any]:
    return {field.name: getattr(maker, field.name) for field in fields(maker)}


def policy_and_spec(
    what: str,
    env: EnvConfig,
    device: str = "cpu",
    lateness: Lateness | None = None,
    adaptation: Adaptation | None = None,
) -> tuple[Policy, Spec, str]:
    """A policy that acts for a robot elsewhere, that robot's spec, and the policy's name.

    Args:
        what: as for :func:`policy_of`.
        env: stands for the robot where a policy has no spec of its own; its id may be empty.
        device: where networks run.
        lateness: as for :func:`policy_of`.
        adaptation: as for :func:`policy_of`.

    Raises:
        ForesightError: as :func:`policy_of`.
    """
    found = policy_of(
        what, env, device=device, anywhere=True, lateness=lateness, adaptation=adaptation
    )
    spec = None if found.folder is None else read_header(found.folder).spec
    if spec is None:
        made = found.env.make()
        spec = spec_of(made)
        made.close()
    return found.maker(spec), spec, found.method


def _of_checkpoint(
    folder: Path,
    env: EnvConfig,
    planner: PlannerConfig,
    device: str,
    chunk: ChunkActing | None,
    anywhere: bool,
    lewm: LeWMPlan | None = None,
) -> Acting:
    header = read_header(folder)
    task = header.config.get("task") if isinstance(header.config, dict) else None
    if not env.id:
        if not task and not (anywhere and header.spec is not None):
            raise ForesightError(
                f"{folder} does not say which environment it was trained in: name one with --env."
            )
        env = replace(env, id=str(task or ""))
    if header.type in ("world-model", "cloned-policy", ACTOR):
        return _of_ours(header, folder, env, planner, device)
    if header.type in (LEWM, INVERSE):
        return _of_lewm(header, folder, env, device, lewm or FAST_PLAN)
    if header.type == PREDICTOR:
        return _of_predictor(header, folder, env, device, lewm or FAST_PLAN)
    if header.type == CHUNKS:
        return _of_chunks(header, folder, env, device, chunk or ChunkActing())
    if not isinstance(load(folder), Policy):
        raise ForesightError(
            f"{folder} holds {checkpoint_types()[header.type].noun}, which cannot act by itself: "
            "give a world model or a policy."
        )
    return Acting(LoadedFactory(str(folder)), env, header.type, folder)


def _of_ours(
    header: Header, folder: Path, env: EnvConfig, planner: PlannerConfig, device: str
) -> Acting:
    """A world model plans, a cloned policy or an actor acts; all see as they did in training."""
    config = header.config
    name, readout = str(config["encoder"]), str(config["readout"])
    eyes = EncoderConfig(name, readout, device) if readout else EncoderConfig(name, device=device)
    env = replace(
        env, size=_size(header, eyes), quality="smooth" if env.id and is_dmc(env) else None
    )
    if header.type == "cloned-policy":
        return Acting(ClonedFactory(str(folder), eyes), env, "cloned", folder)
    if header.type == ACTOR:
        return Acting(ActorFactory(str(folder), device), env, ACTOR, folder)
    if not readout:  # it reads whole tokens, decision by decision
        return Acting(MPCFactory(str(folder), device=device), env, "mpc", folder)
    if not env.id:
        raise ForesightError(
            f"{folder} is planned with towards a goal of an environment: name it with --env."
        )
    maker = PlannerFactory(str(folder), eyes, planner, env)
    return Acting(maker, env, f"planner:{name.replace('/', ':')}", folder)


def _of_lewm(header: Header, folder: Path, env: EnvConfig, device: str, plan: LeWMPlan) -> Acting:
    """A LeWorldModel plans towards a goal picture; its inverse model goes there in one pass."""
    plans = header.type == LEWM
    sizes = (header.config if plans else header.config["model"])["sizes"]
    env = replace(env, size=env.size or int(sizes["image"]))
    if plans:
        return Acting(LeWMFactory(str(folder), plan, device), env, LEWM, folder)
    return Acting(InverseFactory(str(folder), device), env, "inverse", folder)


def _of_predictor(
    header: Header, folder: Path, env: EnvConfig, device: str, plan: LeWMPlan
) -> Acting:
    """A frame-causal predictor plans towards the tokens of a goal picture."""
    cameras = header.spec.cameras if header.spec else {}
    size = cameras.get(header.config["robot"]["camera"])
    maker = PredictorFactory(str(folder), plan, device)
    return Acting(maker, replace(env, size=env.size or size), "predictor", folder)


def _of_chunks(
    header: Header, folder: Path, env: EnvConfig, device: str, acting: ChunkActing
) -> Acting:
    """A policy of action chunks, named by its head, or as blind where it does not see."""
    network = header.config["network"]
    name = {"l1": "chunk"}.get(network["head"], str(network["head"]))
    name = "blind" if network["blind"] or acting.blind else name
    sizes = set(header.spec.cameras.values()) if header.spec else set()
    seen = tuple(camera["name"] for camera in header.config["cameras"])
    env = replace(
        env,
        size=sizes.pop() if len(sizes) == 1 else None,
        cameras=env.cameras if env.cameras is not None or not env.id else seen,
    )
    return Acting(ChunkFactory(str(folder), acting, device), env, name, folder)


def _size(header: Header, eyes: EncoderConfig) -> int | tuple[int, int] | None:
    """Pixels of the robot's pictures, else those that the encoder takes."""
    if header.spec is not None and header.spec.cameras:
        sizes = set(header.spec.cameras.values())
        return sizes.pop() if len(sizes) == 1 else None
    return eyes.frame_size()
