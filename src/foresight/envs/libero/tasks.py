"""LIBERO's tasks: suites, names, what is to be done, and how long an episode lasts.

LIBERO-PRO (Zhou et al., 2025) has each suite once more with things begun elsewhere: those exchange
their places, while names, words and aims are as they were.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from foresight.core.errors import ForesightError

NAMESPACE = "libero/"

SWAPPED = "-swap"
"""How the name of a suite of LIBERO-PRO ends whose things have exchanged their places."""

# Written down, so that a list of tasks needs no simulator. A test compares it with the package.
_ORIGINAL = {
    "spatial": (
        "pick_up_the_black_bowl_between_the_plate_and_the_ramekin_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_next_to_the_ramekin_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_from_table_center_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_on_the_cookie_box_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_in_the_top_drawer_of_the_wooden_cabinet_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_on_the_ramekin_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_next_to_the_cookie_box_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_next_to_the_plate_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_on_the_wooden_cabinet_and_place_it_on_the_plate",
    ),
    "object": (
        "pick_up_the_alphabet_soup_and_place_it_in_the_basket",
        "pick_up_the_cream_cheese_and_place_it_in_the_basket",
        "pick_up_the_salad_dressing_and_place_it_in_the_basket",
        "pick_up_the_bbq_sauce_and_place_it_in_the_basket",
        "pick_up_the_ketchup_and_place_it_in_the_basket",
        "pick_up_the_tomato_sauce_and_place_it_in_the_basket",
        "pick_up_the_butter_and_place_it_in_the_basket",
        "pick_up_the_milk_and_place_it_in_the_basket",
        "pick_up_the_chocolate_pudding_and_place_it_in_the_basket",
        "pick_up_the_orange_juice_and_place_it_in_the_basket",
    ),
    "goal": (
        "open_the_middle_drawer_of_the_cabinet",
        "put_the_bowl_on_the_stove",
        "put_the_wine_bottle_on_top_of_the_cabinet",
        "open_the_top_drawer_and_put_the_bowl_inside",
        "put_the_bowl_on_top_of_the_cabinet",
        "push_the_plate_to_the_front_of_the_stove",
        "put_the_cream_cheese_in_the_bowl",
        "turn_on_the_stove",
        "put_the_bowl_on_the_plate",
        "put_the_wine_bottle_on_the_rack",
    ),
    "10": (
        "LIVING_ROOM_SCENE2_put_both_the_alphabet_soup_and_the_tomato_sauce_in_the_basket",
        "LIVING_ROOM_SCENE2_put_both_the_cream_cheese_box_and_the_butter_in_the_basket",
        "KITCHEN_SCENE3_turn_on_the_stove_and_put_the_moka_pot_on_it",
        "KITCHEN_SCENE4_put_the_black_bowl_in_the_bottom_drawer_of_the_cabinet_and_close_it",
        "LIVING_ROOM_SCENE5_put_the_white_mug_on_the_left_plate_and_put_the"
        "_yellow_and_white_mug_on_the_right_plate",
        "STUDY_SCENE1_pick_up_the_book_and_place_it_in_the_back_compartment_of_the_caddy",
        "LIVING_ROOM_SCENE6_put_the_white_mug_on_the_plate_and_put_the"
        "_chocolate_pudding_to_the_right_of_the_plate",
        "LIVING_ROOM_SCENE1_put_both_the_alphabet_soup_and_the_cream_cheese_box_in_the_basket",
        "KITCHEN_SCENE8_put_both_moka_pots_on_the_stove",
        "KITCHEN_SCENE6_put_the_yellow_and_white_mug_in_the_microwave_and_close_it",
    ),
}

SUITES = _ORIGINAL | {suite + SWAPPED: names for suite, names in _ORIGINAL.items()}
"""Suite to its tasks, in the benchmark's order; LIBERO calls the first suite ``libero_spatial``,
and LIBERO-PRO ``libero_spatial_swap`` what is ``spatial-swap`` here."""

TASKS = tuple(f"{suite}/{name}" for suite, names in SUITES.items() for name in names)
"""Ids without the namespace."""

STEPS = {"spatial": 220, "object": 280, "goal": 300, "10": 520}
"""Most decisions of an episode: the longest demonstration of a suite and a little more, as Kim et
al. (2024) have it."""


@dataclass(frozen=True)
class Protocol:
    """Where an episode begins and how long it is, named in every result.

    Attributes:
        name: a key of `PROTOCOLS`.
        start: ``row``: row (seed modulo their number) of the benchmark's states to begin with;
            ``drawn``: placed anew by the seed, in the regions that the task names; ``wide``: like
            ``drawn``, and then moved further (see `foresight.envs.libero.placement`).
        steps: most decisions of an episode, where they differ from `STEPS`.
    """

    name: str
    start: Literal["row", "drawn", "wide"]
    steps: dict[str, int]

    def most(self, suite: str) -> int:
        """Decisions of an episode of a suite, at the most."""
        original = suite.removesuffix(SWAPPED)
        return self.steps.get(original, STEPS[original])


DEFAULT = "fifty"
"""The preset where nobody names one."""

PROTOCOLS = {
    # The benchmark's: fifty trials of a task, trial i from row i.
    "fifty": Protocol("fifty", "row", {}),
    # As LeRobot evaluates: the same beginnings, more time for libero_spatial.
    "lerobot": Protocol("lerobot", "row", {"spatial": 280}),
    # For demonstrations: never from the states of an evaluation.
    "drawn": Protocol("drawn", "drawn", {}),
    # Places vary so far that a recorded motion, played again, misses.
    "wide": Protocol("wide", "wide", {}),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ForesightError: there is none.
    """
    if name not in PROTOCOLS:
        raise ForesightError(
            f"Unknown protocol {name!r} of LIBERO: choose one of {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]


def canonical(task: str) -> str | None:
    """The id of a task, without the namespace, from that or a number; None for no task.

    Args:
        task: ``SUITE/NAME``, or ``SUITE/NUMBER`` in the benchmark's order.
    """
    suite, _, name = task.partition("/")
    names = SUITES.get(suite, ())
    if re.fullmatch("[0-9]", name) and int(name) < len(names):
        name = names[int(name)]
    return f"{suite}/{name}" if name in names else None


def task_text(task: str) -> str:
    """What is to be done, as the benchmark words it: a name without its scene, in spaces."""
    name = task.partition("/")[2]
    return re.sub(r"^[A-Z_]+_SCENE\d+_", "", name).replace("_", " ")
