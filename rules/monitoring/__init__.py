"""Alerts, probes, scrape jobs and receivers."""
