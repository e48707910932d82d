"""Claims of the topic composition."""
