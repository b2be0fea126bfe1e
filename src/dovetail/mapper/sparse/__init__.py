"""Mappings of sparse designs: what none of them goes below, all of them where they are few, good ones else."""
