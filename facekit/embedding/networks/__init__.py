"""The networks: their architectures, how they are built, folded and read."""
