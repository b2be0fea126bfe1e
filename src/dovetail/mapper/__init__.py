"""Which mapping is best: the space, its bounds, the search, the certificate. Knows no networks."""
