"""Bits of every layer: chosen by what they cost on a design and what they lose, then trained and measured."""
