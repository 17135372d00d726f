"""Held-out figures, one file per family of metrics."""
