"""Environments: tasks of simulators and robots behind one face."""
