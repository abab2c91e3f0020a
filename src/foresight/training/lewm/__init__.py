"""Learning a LeWorldModel, and a goal-conditioned inverse model on its embeddings."""
