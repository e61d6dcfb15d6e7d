"""Participants that a test plays by hand, and defences that it switches off."""
