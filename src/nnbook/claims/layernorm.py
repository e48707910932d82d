"""Claims of the topic layernorm."""
