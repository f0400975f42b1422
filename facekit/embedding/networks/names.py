"""Layer names shared by networks, weights files and folding."""

from __future__ import annotations

HEAD_LAYER = "Bottleneck"
"""The dense layer that outputs the embedding."""
CENTERING_LAYER = "LocalCentering"
"""The name of the local centering's arrays in a file; it is not part of the network."""
FEATURES_LAYER = "AvgPool"
"""The pooling whose output the head reads."""
BATCH_NORMALIZATION_SUFFIX = "_BatchNorm"
"""The suffix of the name of the normalized layer."""
RESIDUAL_SCALE_SUFFIX = "_Scale"
"""The suffix of the name of the scaled projection."""
BATCH_NORMALIZATION_EPSILON = 1e-3
"""The epsilon that every batch normalization adds to the variance."""
