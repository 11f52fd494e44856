"""From references to a graph: which host a name, an address or a URL stands for, and what a retirement does to it."""
