"""Channel search against exact hardware cost."""
