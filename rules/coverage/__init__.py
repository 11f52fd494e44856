"""What was seen without being understood, and what was not seen."""
