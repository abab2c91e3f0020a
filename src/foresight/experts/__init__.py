"""Privileged: what may look into a simulator. Controllers, feedback laws, the oracle."""
