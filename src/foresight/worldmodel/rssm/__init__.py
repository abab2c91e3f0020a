"""A recurrent state-space model with categorical latents, and the reduced Dreamer made of it."""
