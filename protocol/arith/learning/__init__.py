"""Models, their gradients and steps, and what a contribution was worth.

Floats in the clear, by numpy. A new model family begins in `models`. It imports numbers/
and no other room of arith/: what is trained does not depend on how it travels.
"""
