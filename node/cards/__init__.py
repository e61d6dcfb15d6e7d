"""Cards of data sets: others' kept and asked for, this owner's published, a requester's search.

`shelf` is the table of known cards between network and store, `own` what this node says, `offers`
what people see. It imports engine/, store/, net/ and control/; feeds/ hands cards in.
"""
