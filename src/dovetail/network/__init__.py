"""Layers together: each distinct layer once, Pareto fronts joined, totals, bottlenecks. Knows no reports."""
