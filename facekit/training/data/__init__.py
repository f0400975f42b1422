"""What training reads: datasets, batches, augmentation."""
