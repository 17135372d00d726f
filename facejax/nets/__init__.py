"""Flax (linen) modules: blocks, and one file per paper's nets."""
