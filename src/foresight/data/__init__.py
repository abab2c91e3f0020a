"""Episodes on disk, the feature cache and history windows."""
