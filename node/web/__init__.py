"""The page: `assay web`, a process of its own on loopback, and a client of the control socket.

The daemon opens no HTTP port. gate.py says who is let in, pages.py and acts.py what is shown and
done, said.py how texts from peers are shown; templates/ and static/ hold what a browser gets.
uploads/ takes files, drafts/ a job in six steps. It imports client/, console/, and of home/ where a
home and its tokens lie; control/ for types; of data/, work/ and workers/ what reads a user's file.
"""
