"""What `scripts/test` runs: the checks, the rooms and their dependents, and the end of a run."""
