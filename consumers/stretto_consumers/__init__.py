"""Processes that read the log."""
