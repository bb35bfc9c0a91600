"""The table that `label` writes: a row per film, what may lie in its way, the counts and the picture beside it."""
