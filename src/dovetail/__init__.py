"""Dovetail fits neural networks to accelerators: exact costs, provably best mappings, co-design."""

__version__ = "0.1.0"
