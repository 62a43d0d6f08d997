"""Step 3, identify: distinct_ids -> persons. Who an id belongs to, and what makes two ids one person's.

`ids.py` says what can name somebody, `persons.py` finds and stores persons. What links ids: `aliases.py` decides it for
profile updates (setting `$onesignal_user_id`), `claims.py` for events (identity verbs, devices), and `linking.py`
carries the latter out. Events of a person who was merged away are found through `redirects.py`, which moves them in
the background. All of it runs inside the transaction of a request (`cohorts/ingest/`), in the order of locks of
laws.md, L4.

`linking.py` also writes match keys (`cohorts/match_keys.py`, which imports from here), so it is imported by its name.
"""

from cohorts.identity.aliases import AddressPlan, plan_addresses, wished_aliases
from cohorts.identity.claims import claim_of
from cohorts.identity.ids import ALIAS_PROPERTY, DENYLIST, IDENTITY_EVENTS, MAX_IDS_PER_PERSON, is_usable, text_of_id
from cohorts.identity.persons import NewPerson, add_persons, find_persons, persons_of

__all__ = [
    "ALIAS_PROPERTY",
    "DENYLIST",
    "IDENTITY_EVENTS",
    "MAX_IDS_PER_PERSON",
    "AddressPlan",
    "NewPerson",
    "add_persons",
    "claim_of",
    "find_persons",
    "is_usable",
    "persons_of",
    "plan_addresses",
    "text_of_id",
    "wished_aliases",
]
