"""Other tasks in the frozen model of a quadruped that has learned to walk by commands."""
