"""Learn to decide chunks of actions from demonstrations."""
