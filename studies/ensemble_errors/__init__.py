"""Do ensembles know where they err? Held-out episodes, imagined futures, and their errors."""
