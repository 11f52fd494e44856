"""Pages over a store of snapshots, on this machine alone: reviews, what changed between two, and migration waves."""
