"""The dm_control suite."""
