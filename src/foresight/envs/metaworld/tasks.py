"""Meta-World's tasks: their names, what is to be done, and how long an episode lasts."""

from __future__ import annotations

from dataclasses import dataclass

from foresight.core.errors import ForesightError

NAMESPACE = "metaworld/"

# Written down, so that a list of tasks needs no simulator. A test compares it with the package.
TASKS = {
    "assembly": "lift the ring by its handle and put it over the peg",
    "basketball": "lift the ball and drop it through the hoop",
    "bin-picking": "move the block from the one bin into the other",
    "box-close": "lift the lid and put it on the box",
    "button-press": "press the button on the front of the box",
    "button-press-topdown": "press the button on top of the box",
    "button-press-topdown-wall": "press the button on top of the box behind the wall",
    "button-press-wall": "reach around the wall and press the button",
    "coffee-button": "press the button of the coffee machine",
    "coffee-pull": "pull the mug away from the coffee machine to the goal",
    "coffee-push": "push the mug under the coffee machine",
    "dial-turn": "turn the dial half around",
    "disassemble": "lift the ring off the peg",
    "door-close": "swing the open door shut",
    "door-lock": "turn the lock of the door until it is locked",
    "door-open": "pull the door open by its handle",
    "door-unlock": "turn the lock of the door until it is unlocked",
    "drawer-close": "push the drawer shut",
    "drawer-open": "pull the drawer open by its handle",
    "faucet-close": "turn the handle of the faucet until it is closed",
    "faucet-open": "turn the handle of the faucet until it is open",
    "hammer": "take the hammer and drive the nail in",
    "hand-insert": "put the hand into the hole in the table",
    "handle-press": "press the handle down",
    "handle-press-side": "press the handle down from the side",
    "handle-pull": "pull the handle up",
    "handle-pull-side": "pull the handle up from the side",
    "lever-pull": "lift the lever until it points up",
    "peg-insert-side": "put the peg into the hole in the side of the box",
    "peg-unplug-side": "pull the peg out of the hole in the side of the box",
    "pick-out-of-hole": "lift the puck out of the hole and carry it to the goal",
    "pick-place": "lift the puck and hold it at the goal",
    "pick-place-wall": "lift the puck over the wall and hold it at the goal",
    "plate-slide": "slide the plate into the rack",
    "plate-slide-back": "slide the plate back out of the rack",
    "plate-slide-back-side": "slide the plate out of the rack from the side",
    "plate-slide-side": "slide the plate into the rack from the side",
    "push": "push the puck to the goal",
    "push-back": "pull the puck back to the goal",
    "push-wall": "push the puck around the wall to the goal",
    "reach": "move the hand to the goal",
    "reach-wall": "move the hand over the wall to the goal",
    "shelf-place": "lift the puck and put it on the shelf",
    "soccer": "push the ball into the goal",
    "stick-pull": "take the stick and pull the jug with it to the goal",
    "stick-push": "take the stick and push the jug with it to the goal",
    "sweep": "sweep the puck off the table",
    "sweep-into": "sweep the puck into the hole",
    "window-close": "slide the window shut",
    "window-open": "slide the window open",
}
"""Name to what is to be done, in words; Meta-World calls them ``push-v3`` and so on."""


@dataclass(frozen=True)
class Protocol:
    """The length of an episode, named in every result.

    Attributes:
        name: ``first-success``, ``held`` or ``mt500``.
        steps: most control steps of an episode, 80 a second.
        linger: control steps for which an episode goes on after its first success; None: to the
            end.
    """

    name: str
    steps: int = 500
    linger: int | None = None


DEFAULT = "first-success"
"""The preset where nobody names one."""

PROTOCOLS = {
    # The hand comes to rest, so that a demonstration shows how to stop.
    "first-success": Protocol("first-success", linger=5),
    # For demonstrations: what was achieved is held, so that a policy that arrives stays.
    "held": Protocol("held", linger=40),
    # Meta-World's own: 500 steps, and a success is one at any of them. For learning from rewards,
    # which a task pays at every step: an early end would take them away from who succeeds.
    "mt500": Protocol("mt500"),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ForesightError: there is none.
    """
    if name not in PROTOCOLS:
        raise ForesightError(
            f"Unknown protocol {name!r} of Meta-World: choose one of {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]
