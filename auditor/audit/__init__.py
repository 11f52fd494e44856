"""One run: an estate and a scenario in, a report out."""
