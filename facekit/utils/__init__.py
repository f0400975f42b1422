"""Small helpers that every layer shares: argument checks, progress, figures, OpenVINO."""
