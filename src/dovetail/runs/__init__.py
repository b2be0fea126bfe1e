"""Runs of the reference: what their folders hold, and how their counts compare with ours."""
