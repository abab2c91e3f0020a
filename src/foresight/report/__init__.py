"""Reports: tables, plots, videos and the self-contained HTML page of a run."""
