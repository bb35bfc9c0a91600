"""Processes, threads and memory of this machine."""
