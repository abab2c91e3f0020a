"""What holds for every test."""

import hypothesis
import jaxtyping
import pytest
import torch

# A slow machine is no fault of the code.
hypothesis.settings.register_profile(
    "foresight", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("foresight")

# Shapes and types of these rooms are checked at every call. They must not be imported before.
jaxtyping.install_import_hook(["foresight.core", "foresight.data"], "shape_checks.checked")

# The suite's networks are tiny: a second thread costs more in waiting than it computes.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_learned(tmp_path_factory):
    """The folder of a task that was learned for a moment, as ``foresight learn`` leaves it."""
    from foresight.planning.config import MPCConfig
    from foresight.training.learner_config import LearnerConfig
    from foresight.training.online import OnlineTrainer
    from foresight.training.online_config import OnlineConfig

    folder = tmp_path_factory.mktemp("learned") / "point_mass-easy"
    config = OnlineConfig(
        task="point_mass-easy",
        steps=4 * 2 * 16,
        random_episodes=2,
        expert=None,
        demonstrations=0,
        representation_updates=2,
        length=16,
        parallel=2,
        updates=0.2,
        finetune_updates=3,
        latent=32,
        hidden=32,
        members=3,
        n_components=4,
        learner=LearnerConfig(batch=4),
        planner=MPCConfig(members=2, samples=8, elites=4, iterations=1, prior_samples=2),
        save_every=2,
    )
    OnlineTrainer(config, folder).run()
    return folder
