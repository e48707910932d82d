"""Claims of the topic modules."""
