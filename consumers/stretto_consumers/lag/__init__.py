"""Lag of all followers: looked at, judged, told."""
