"""Foresight: robots that imagine before they act."""

__version__ = "0.1.0"
