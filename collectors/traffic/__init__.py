"""Proxies, load balancers, web servers and caches: which certificate each serves, and which pools stand behind it."""
