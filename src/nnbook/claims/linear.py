"""Claims of the topic linear."""
