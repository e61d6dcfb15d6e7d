"""ERC-20 tokens on the chain: calls as bytes, and what a token's contract says of itself.

Nobody vouches for what it says.

It imports chain/'s client and errors; chain/'s other rooms do not import it.
"""
