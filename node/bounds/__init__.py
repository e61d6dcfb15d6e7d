"""Bounds for what others wrote: how deep their JSON may nest, how large their pictures may be, how
much of their code is loaded.

Every room of node/ may import it; it imports nothing of ours.
"""
