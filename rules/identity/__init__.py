"""Who is let in: keys, lists and principals of a host that is going, on hosts that stay."""
