"""The sale of a model's use: what carries protocol/sale out between real nodes.

Offers, the stream between buyer and seller, both runtimes, and the channels that pay. It imports
engine/, store/, net/, chain/, work/, workers/ and control/.
"""
