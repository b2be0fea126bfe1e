"""The architecture: levels outer to inner, their constraints, the YAML reader, bundled designs. Knows no workload."""
