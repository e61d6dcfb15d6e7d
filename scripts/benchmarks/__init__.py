"""Side-by-side measurements of assay and its peers: what scripts/bench runs."""
