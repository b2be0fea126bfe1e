"""What to change: of a design, of a network, of a layer; every gain found by mapping what was changed."""
