"""Policies: from features to actions without search."""
