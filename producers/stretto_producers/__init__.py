"""Processes that write to the log."""
