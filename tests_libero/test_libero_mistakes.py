"""Beginnings that the study of mistakes gives to episodes, against LIBERO's own environment."""

from __future__ import annotations

import numpy as np

from foresight.envs.libero import packages
from foresight.envs.libero.init_states import read_init_states
from foresight.envs.libero.simulation import STILL
from studies.mistakes.acting import Unplaced, Unsettled

TASK, BOWL = "spatial/0", "akita_black_bowl_1"


def test_without_settling_an_episode_begins_at_the_benchmarks_state(kept):
    env = kept(TASK, cameras=())
    suite, name = env.unwrapped.suite, env.unwrapped.name
    rows = read_init_states(packages.init_file(suite, name))
    env.reset(seed=3)
    settled = env.unwrapped.simulation.row()
    raw, info = Unsettled()(env, 3)
    simulation = env.unwrapped.simulation
    assert np.array_equal(simulation.row(), rows[3])
    assert not np.allclose(simulation.row()[1:], settled[1:], atol=1e-3)
    assert np.array_equal(raw["state"], simulation.feel()) and info["seed"] == 3


def test_without_states_the_seed_places_things_which_are_at_rest(kept):
    env = kept(TASK, cameras=())

    def place(start, seed):
        start(seed)
        return env.unwrapped.simulation.places()[BOWL][:2]

    mistaken = Unplaced()
    places = [place(lambda seed: mistaken(env, seed), seed) for seed in (3, 4, 3)]
    right = place(lambda seed: env.reset(seed=seed), 3)
    assert np.array_equal(places[0], places[2])
    assert np.abs(places[0] - places[1]).max() > 1e-3
    assert np.abs(places[0] - right).max() > 1e-3
    mistaken(env, 3)
    before = env.unwrapped.simulation.places()[BOWL]
    for _ in range(3):
        env.step(STILL)
    assert np.abs(env.unwrapped.simulation.places()[BOWL] - before).max() < 2e-3
