"""Carrying out effects: one room for each thing that an effect can touch."""
