"""The owner's machine: from an announcement to the last payment.

`machine` is the way in, `attempt` follows a round, `release` gives up shares once pay is certain,
`pay` ends the job. It imports machines/ and books/, and never requester/: what both must know
belongs to one of those.
"""
