"""Learning from datasets (offline), from acting (online), from demonstrations."""
