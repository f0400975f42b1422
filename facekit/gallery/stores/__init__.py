"""Stores of galleries besides the file: database servers."""
