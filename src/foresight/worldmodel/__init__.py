"""What an action will change: latent state, dynamics, reward, and their training."""
