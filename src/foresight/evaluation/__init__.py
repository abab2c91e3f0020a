"""Evaluation as evidence: rows per episode, paired baselines, intervals, checked result files."""
