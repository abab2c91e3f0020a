"""Speed, ours and others', measured side by side."""
