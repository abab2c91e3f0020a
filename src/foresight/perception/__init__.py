"""Perception: frozen V-JEPA 2 tokens, readouts, feature streams."""
