"""Probes: what can be read from frozen features, on episodes that no probe has seen."""
