"""Add a data set, and take every waiting job whose rules all pass or leave the choice to a person.

    python docs/examples/take_jobs.py NAME FILE.csv

A program that decides is an owner's word as good as a click: what its policy rules out (a budget
that does not hold the job, blocked requesters, no noise) stays ruled out.
"""

import sys

from node.client import connect

name, file = sys.argv[1], sys.argv[2]
node = connect()

if name not in node.datasets()["name"].to_list():
    added = node.add(name, file)
    print(f"{name}: {added['rows']} rows")
    node.policy(name, accept="ask", no_noise=True, epsilon=8.0)

for job in node.waiting():
    (answer,) = node.explain(job, name)
    for rule in answer["rules"]:
        if rule["outcome"] != "passes":
            print(f"{job.title}: {rule['rule']} {rule['outcome']}: {rule['why']}")
    if answer["verdict"] in ("passes", "waits"):
        taken = job.accept(name)
        print(f"{job.title}: taken, it is {taken['state']}")
