"""What zeros save and cost: the reference's rules, from a dense count to what is done, gated and skipped."""
