"""Language models (and their kin) by configuration: what they are made of, and what a step of them runs."""
