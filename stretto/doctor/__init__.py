"""`stretto doctor`: what would bite, said before it does."""
