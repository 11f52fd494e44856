"""An example of a plugin: what an in-house scheduler runs, and a rule about it."""
