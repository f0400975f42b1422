"""Weights by name: the registry, where files are found, and what they hold."""
