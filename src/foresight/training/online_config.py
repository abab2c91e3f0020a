"""How an agent learns by acting: how long, from what, and how large its networks are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from foresight.core.errors import ForesightError
from foresight.core.files import late
from foresight.envs.dmc.protocol import get_protocol
from foresight.envs.factories import full_id
from foresight.envs.registry import EnvConfig
from foresight.planning.config import MPCConfig
from foresight.training.learner_config import LearnerConfig, SACConfig

DMC = "dmc/"
Method = Literal["taught", "mpc", "sac"]
"""How an agent learns. taught: from an expert's actions or the robot's state, too; mpc and sac:
from pictures and reward alone, with a search in the model or an actor that acts meanwhile."""


@dataclass(frozen=True)
class OnlineConfig:
    """How long an agent learns, from what, and how large its networks are."""

    task: str = "reacher-easy"
    """An environment: an id of `foresight envs list`, gym/ID of one of Gymnasium's, or MODULE:ENV;
    the bare reacher-easy is short for dmc/reacher-easy."""
    protocol: str = "seed200"
    """Length of episodes of dm_control; other environments end by themselves."""
    cameras: tuple[str, ...] | None = None
    """Cameras to see with, by name; all of the environment if not given."""
    encoder: str = "foresight-small"
    """Frozen encoder."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, …, or auto, of encoder, networks and planner."""
    steps: int = 100_000
    """Environment steps in all."""
    random_episodes: int = 16
    """Episodes of random decisions to begin with, part of the steps."""
    expert: str | None = "oracle"
    """Who shows the task in the first episodes: expert, oracle, or nobody."""
    demonstrations: int = 48
    """Episodes led by the expert, after the random ones; part of the steps."""
    expert_dropout: int = 0
    """Mean decisions between two times at which noise alone acts in a demonstration; 0 for
    never."""
    relabel: float = 0.0
    """Share of the later rounds in which the expert is asked, too, what it would have done
    (DAgger; Ross et al. 2011, arXiv 1011.0686)."""
    proprio: bool = True
    """Read proprioception off the state while training: a dense lesson in where things are."""
    length: int | None = None
    """Environment steps of a training episode, the environment's own if not given. Short ones show
    more goals and starts for the same steps, and what has many goals cannot be learnt by heart. An
    environment that names no time limit needs one, and is measured for as long."""
    parallel: int = 8
    """Episodes side by side; a round."""
    repeat: int = 2
    """Environment steps for which a decision is held."""
    representation_updates: int = 3000
    """Updates of the first representation phase, in which the adapter learns to see."""
    representation_phases: int = 3
    """Later phases, spread evenly over the steps, each of a third as many updates."""
    updates: float = 0.25
    """Updates of the networks that imagine, for each decision collected."""
    finetune_updates: int = 10_000
    """Updates of the dynamics alone when everything is collected and nothing else moves."""
    latent: int = 128
    """Width of the latent state."""
    hidden: int = 256
    """Width of the networks behind it."""
    members: int = 5
    """Dynamics in the ensemble."""
    n_components: int = 48
    """Numbers kept of each token."""
    history: int = 2
    """Observations that a state is read from."""
    discount: float = 0.97
    """γ of one decision."""
    continuation: bool | None = None
    """Predict whether an episode goes on; if not given, wherever tasks may end an episode (those of
    dm_control do not)."""
    codec: str = "lossless"
    """How frames are stored: lossless, or the much smaller av1 and h264, whose pictures are not
    quite those that were acted on."""
    seed: int = 0
    """Of episodes, weights and search."""
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    """The updates."""
    planner: MPCConfig = field(
        default_factory=lambda: MPCConfig(
            members=2, samples=64, iterations=3, prior_samples=16, prior_weight=0.0
        )
    )
    """The search while collecting."""
    save_every: int = 8
    """Rounds between two saved states."""
    algorithm: Literal["mpc", "sac"] = late("mpc")
    """Who acts while learning, and learns from that. mpc: the search, in a model that learns
    all along (TD-MPC2's way). sac: the action prior, as the actor of soft actor-critic, whose
    critics shape the adapter; what imagines is learned when the steps are spent."""
    sac: SACConfig = late(SACConfig())  # noqa: RUF009
    """Its updates."""
    joints: tuple[int, ...] = late(())
    """Numbers of the robot's state that are felt, beside what is seen, by place: its own joints, as
    any robot has them; none if none is named."""
    keep: tuple[int, ...] = late(())
    """Steps after which, too, a model is kept, in RUN/kept/STEPS, with all that imagines (sac)."""
    shifts: int = late(0)
    """Shifted views of each picture that are encoded, kept and learned from, too
    (`foresight.training.shifts`); they cost encoding, and memory."""
    trials_every: int = late(0)
    """Own rounds between two in which half of the episodes try how far to trust the prior, each
    without noise; 0 for never (`foresight.training.trials`)."""
    exploration: str = late("ar1:0.8:clip")
    """Who decides in the random episodes: a policy's name, such as switch:0.1."""
    curiosity: float = late(0.0)
    """What it is worth to a plan that the members differ about it as much as they do on average
    about what was done, in units of a decision's largest reward; in every other episode that
    explores, falling to 0 over the steps (`foresight.training.curiosity`)."""
    final_trials: int = late(0)
    """Episodes, part of the steps, in which each trust is tried when all is learned; what earns
    most is what the model searches with. 0 leaves that to whoever searches."""

    @property
    def of_dmc(self) -> bool:
        """Whether the task is one of dm_control's."""
        return full_id(self.task).startswith(DMC)

    @property
    def method(self) -> Method:
        """What results call it."""
        told = self.expert is not None or self.proprio
        return "taught" if told and self.algorithm == "mpc" else self.algorithm

    @property
    def search(self) -> MPCConfig | None:
        """The search while collecting; None where the action prior acts by itself."""
        return self.planner if self.algorithm == "mpc" else None

    @property
    def predicts_ends(self) -> bool:
        """Whether the model has a continuation head."""
        return not self.of_dmc if self.continuation is None else self.continuation

    def environment(self, image_size: int) -> EnvConfig:
        """What is acted in, one step a decision.

        Args:
            image_size: pixels of the encoder's pictures; dm_control renders as many. Cameras of
                other environments keep their own size.

        Raises:
            ForesightError: the environment repeats actions itself, and it does not fit.
        """
        decisions = None if self.length is None else -(-self.length // self.repeat)
        common = EnvConfig(
            self.task, cameras=self.cameras, time_limit=decisions, action_repeat=self.repeat
        )
        if not self.of_dmc:
            return common
        held = get_protocol(self.protocol).repeat
        if self.repeat % held:
            raise ForesightError(
                f"Holding a decision for {self.repeat} steps does not fit protocol "
                f"{self.protocol}, which repeats actions {held} times: choose a multiple of {held}."
            )
        return replace(
            common,
            protocol=self.protocol,
            size=image_size,
            quality="smooth",
            action_repeat=self.repeat // held,
        )

    def check(self) -> None:
        """Refuse what cannot be learned with.

        Raises:
            ForesightError: a count below what is needed, or demonstrations of nobody.
        """
        counts = (self.steps, self.parallel, self.random_episodes, self.repeat, self.save_every)
        if min(counts) < 1 or self.updates < 0 or (self.length is not None and self.length < 1):
            raise ForesightError(
                f"Learning for {self.steps} steps with {self.parallel} episodes side by side, "
                f"{self.random_episodes} random ones, actions held for {self.repeat} steps, "
                f"{self.updates} updates per decision and {self.save_every} rounds between two "
                "saved states is refused: give positive numbers."
            )
        if min(self.trials_every, self.final_trials, self.shifts) < 0:
            raise ForesightError(
                f"Trials every {self.trials_every} rounds, {self.final_trials} of each trust at "
                f"the end and {self.shifts} shifted views are refused: give at least 0, which is "
                "none."
            )
        if self.curiosity < 0 or (self.curiosity and (self.planner.members or self.members) < 2):
            raise ForesightError(
                f"A curiosity of {self.curiosity} with {self.planner.members or self.members} "
                "members that plan is refused: give 0 or more, and 2 members that can differ."
            )
        if self.expert is None and (self.demonstrations or self.relabel):
            raise ForesightError(
                "Demonstrations and relabelling need an expert: name expert or oracle, or set "
                "--demonstrations and --relabel to 0."
            )
