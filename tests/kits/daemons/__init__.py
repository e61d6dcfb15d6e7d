"""Real daemons: their processes, jobs, and the moments at which a test stops them."""
