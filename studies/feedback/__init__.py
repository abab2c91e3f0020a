"""The search for the feedback laws that the package holds."""
