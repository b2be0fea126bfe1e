"""What a language model's token costs on a design: phases, batches and contexts, and how the cost follows them."""
