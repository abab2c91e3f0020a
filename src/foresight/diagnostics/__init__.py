"""What a model or an encoder knows, judged apart from any return."""
