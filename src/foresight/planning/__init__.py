"""Search over imagined actions: objectives and solvers."""
