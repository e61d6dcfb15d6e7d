"""Follow every job of this home at once, under trio, until all of them are over.

python docs/examples/follow_all.py
"""

import trio

from node.client.trio import TrioJob, connect


async def follow(job: TrioJob) -> None:
    """One job: a line an event, and one at its end."""
    await job.wait(lambda event: print(job.id[:10], event["kind"], event["text"]))
    print(job.id[:10], "ended with all rounds" if job.complete else f"is {job.state}")


async def main() -> None:
    """All jobs side by side."""
    node = await connect()
    async with trio.open_nursery() as nursery:
        for job in await node.jobs():
            nursery.start_soon(follow, job)


trio.run(main)
