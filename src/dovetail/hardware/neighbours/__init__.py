"""Designs in the forms of neighbouring tools, turned into v0.4 documents: ZigZag, AccelForge, SCALE-Sim.

What has an equal here is read; what changes no count is passed over, which is said; the rest is refused by name.
"""
