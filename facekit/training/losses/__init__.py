"""Distances, miners and losses."""
