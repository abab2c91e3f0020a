"""Episodes: run, in one process or many, and collected into datasets."""
