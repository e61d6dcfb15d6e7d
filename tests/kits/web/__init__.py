"""The page in tests: its process before a fake node."""
