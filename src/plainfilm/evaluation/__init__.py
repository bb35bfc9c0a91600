"""Scores with their uncertainty, computed from tables of predictions alone: no network is needed here."""
