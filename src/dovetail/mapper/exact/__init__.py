"""The exact search: the best of all mappings of perfect factors, and the proof that nothing is better."""
