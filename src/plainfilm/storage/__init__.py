"""Files, tables and columns on disk."""
