"""The life of a source in the log: made by `stretto init`, taken away by `stretto destroy`."""
