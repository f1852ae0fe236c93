"""Reads from followers that show what their reader must see, in spite of lag."""
