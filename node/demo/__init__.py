"""`assay demo`: the main job between real processes, driven as a user drives it.

data       scikit-learn's data, split among owners; the job's spec
sealed     sealed jobs: recipes, and the accuracy that each epsilon is known to give
processes  the chain and the daemons as children, and their end, whatever happens
user       one home as its user sees it: commands and the control socket
ledger     the chain asked directly, without any daemon: money and gas
yardstick  the same family trained in the clear, in a process of its own
clear      a sealed job's training in the clear, in a process of its own
secrecy    what a sealed job adds to the story
story      what happens, in order
screen     progress while it happens
report     what it came to: figures, tables, the picture
verdict    whether that is what was promised
main       from the command line to an exit code
"""
