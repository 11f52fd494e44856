"""Graphs in the formats of other tools: a selection of the estate's graph, and one module a format that writes it."""
