"""Claims of the topic batchsize."""
