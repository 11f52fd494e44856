"""Services that answer over HTTP: one careful client, and what is asked of each kind of service."""
