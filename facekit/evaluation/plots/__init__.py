"""Plots of evaluations: matplotlib axes in, axes out."""
