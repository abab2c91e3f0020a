"""Policies that decide a chunk of actions at once, learned from demonstrations."""
