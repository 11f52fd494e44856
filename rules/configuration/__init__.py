"""Where configuration management lists a host that is going, and what it leaves empty."""
