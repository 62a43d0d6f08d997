"""Erasing persons: everything of theirs, at once for whoever looks, and for good soon after (laws.md, L8).

`persons.py` takes away the person, the ids, the keys' holders and the samples of refusals in one transaction; from its
commit on nothing leads to the person any more, neither a query nor an export. `events.py` sweeps the events in batches
afterwards, `keys.py` says which match keys are due and makes tombstones of them once `integrations/removals.py` knows
that no destination holds them. `progress.py` tells how far a request is.
"""

from cohorts.erasing.persons import erase_persons

__all__ = ["erase_persons"]
