"""What comes in: messages, announcements, the chain's facts; each made a machine's input.

Judged and stored before a machine hears of it. It imports engine/, store/, net/ and chain/, and of
perform/ how a message is sealed. Only api and daemon import it.
"""
