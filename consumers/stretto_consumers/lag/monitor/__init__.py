"""The lag monitor: a Faust application over frontiers and followers' words, and what it shows."""
