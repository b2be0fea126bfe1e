"""Families of designs: a design with ranges where numbers are, and the proven front over all its members."""
