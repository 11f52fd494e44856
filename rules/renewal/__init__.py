"""Certificates: what renews them, what that needs, and who would notice if it did not."""
