"""Names of layers that networks, files of weights and folding share."""

from __future__ import annotations

HEAD_LAYER = "Bottleneck"
"""The dense layer that gives the embedding."""
FEATURES_LAYER = "AvgPool"
"""The pooling whose output the head reads."""
BATCH_NORMALIZATION_SUFFIX = "_BatchNorm"
"""Follows the name of the layer that is normalized."""
RESIDUAL_SCALE_SUFFIX = "_Scale"
"""Follows the name of the projection that is scaled."""
BATCH_NORMALIZATION_EPSILON = 1e-3
"""What every batch normalization adds to the variance."""
