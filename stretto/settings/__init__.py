"""Settings for people to read: the ones in force, masked, and the reference of all."""
