"""Weights by name: the registry, the search for files, and their contents."""
