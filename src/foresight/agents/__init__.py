"""Closed-loop agents: see, imagine, act."""
