"""The channel contract on the chain: its calls as bytes, and what it holds at a final head.

It imports chain/'s client and errors; chain/'s other rooms do not import it.
"""
