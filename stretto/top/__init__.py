"""`stretto top`: all followers on one screen, look by look."""
