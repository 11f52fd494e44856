"""ACME clients and other programs that renew certificates: one module each, and what they share in `lineages`."""
