"""Finished runs: their folder, their scores, what the scores hide, several runs together, their state."""
