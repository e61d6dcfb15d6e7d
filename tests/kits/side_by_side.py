"""Which worker of a run side by side takes which module, and in which order.

A module stays on one worker, so that its swarm, its keys and its chain are made once. Modules that
mostly wait say so (`pytestmark = pytest.mark.waits(seconds)`) and are begun first, the longest one
at the very beginning: nothing is left to wait for at the end. The first worker starts at the other
end, where tests compute, so that both kinds overlap from the first second to the last.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController


def waits(item: pytest.Item) -> float:
    """For how many seconds an item's module waits, by its own word."""
    mark = item.get_closest_marker("waits")
    return 0.0 if mark is None else float(mark.args[0])


def longest_waits_first(items: list[pytest.Item]) -> None:
    """Put the items into the order in which a run begins them."""
    items.sort(key=lambda item: -waits(item))


class FromBothEnds(LoadScopeScheduling):  # type: ignore[misc]
    """Gives modules from the front to all workers but the first, which is given from the back."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id == "gw0":
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Take back what a worker that has died was given; the test that it died of, if any.

        That test is over, as a failure. The library would give it, and the modules that are done,
        to the next worker: the one ends that worker too, of the others no worker ever reports.
        """
        workload = self.assigned_work.pop(node)
        begun = [
            (unit, test) for unit in workload.values() for test, over in unit.items() if not over
        ]
        if not begun:
            return None
        unit, crashed = begun[0]
        unit[crashed] = True
        self.workqueue.update(
            (name, unit) for name, unit in workload.items() if not all(unit.values())
        )
        for other in self.assigned_work:
            self._reschedule(other)
        return str(crashed)

    def _reschedule(self, node: WorkerController) -> None:
        """Give modules ahead while less than two tests are left, for a worker keeps its last test
        until it is given another or sent home; none earlier, as they cannot be taken back."""
        while not node.shutting_down:
            # A worker that collected other tests than the rest has none that it could be given.
            if not self.workqueue or node not in self.registered_collections:
                node.shutdown()
            elif self._pending_of(self.assigned_work[node]) > 1:
                return
            else:
                self._assign_work_unit(node)


def scheduler(config: pytest.Config, log: object) -> FromBothEnds:
    """The scheduler of a run, with its modules in the order of `longest_waits_first`."""
    config.option.loadscopereorder = False
    return FromBothEnds(config, log)
