"""`assay devnet`: a chain of one machine, for trying assay out and for its tests."""

from .server import serve_devnet

__all__ = ["serve_devnet"]
