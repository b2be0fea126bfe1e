"""The program's version, for whoever writes it into results."""

__version__ = "0.1.0"
