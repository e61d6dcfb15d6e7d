"""The sides: what assay and each peer compute. A peer's runs in the peer's own environment."""
