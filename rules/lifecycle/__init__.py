"""Rules about hosts that are declared to be one thing, and were seen to be another."""
