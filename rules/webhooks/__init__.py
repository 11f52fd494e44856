"""Calls that something makes when something happens."""
