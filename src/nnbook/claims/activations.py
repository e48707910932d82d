"""Claims of the topic activations."""
