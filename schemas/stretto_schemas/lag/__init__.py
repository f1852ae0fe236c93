"""Lag: its stages, how it moves, what it means, why it is there. Pure rules; who measures and who shows use them."""
