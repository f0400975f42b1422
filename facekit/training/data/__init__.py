"""Training data: data sets, batches, augmentation."""
