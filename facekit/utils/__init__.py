"""Small helpers shared by all layers: argument checks, progress, figures, OpenVINO."""
