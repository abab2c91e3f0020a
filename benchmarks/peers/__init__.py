"""Scripts that run in the virtual environment of another project, to be measured beside it."""
