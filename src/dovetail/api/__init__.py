"""The front door: what stands behind ``import dovetail``, one module per kind of thing."""
