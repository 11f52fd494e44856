"""Find everything that still depends on a server before it is retired or made read-only."""

__version__ = "0.1.0"
