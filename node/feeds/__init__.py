"""What comes in: gossip and private messages, announcements, the chain; each made a machine's input.

Judged and stored before a machine hears of it. It imports engine/, store/, net/ and chain/.
"""
