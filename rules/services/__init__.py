"""Rules about services: what they need of a host that is going, and what ends with it."""
