"""`facejax bench`: how fast facejax is, measured side by side with the usual ways of doing it."""
