"""Good mappings quickly, without a proof: random ones, and random changes to the best of them."""
