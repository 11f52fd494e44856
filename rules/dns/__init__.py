"""Records that lead to a host that is going, and names that lead nowhere."""
