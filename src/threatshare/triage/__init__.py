"""Judges what is known of an observable: decay, score, known-benign lists."""
