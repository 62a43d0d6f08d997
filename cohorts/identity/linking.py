"""The persons of a request's events, after what the events claim about ids: read, decided, carried out (step 3).

`claims.py` decides. A person that another one takes in vanishes; its ids, and what the other's profile lacks, move at
once, its events by a redirect (`redirects.py`). The order of locks is the law's (laws.md, L4): new ids, then persons,
then what was read before is checked, then match keys. Called by `ingest/events.py` in its transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import orjson
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import by_key, json_array, number_array, text_array, time_array
from cohorts.identity.claims import Cluster, KnownPerson, PlacedClaim, ids_of_claims, plan_claims
from cohorts.identity.ids import MAX_IDS_PER_PERSON
from cohorts.identity.persons import NewPerson, add_persons, find_persons, persons_of
from cohorts.identity.redirects import Redirect, add_redirects
from cohorts.match_keys import keep_former_keys, maintain_keys, match_properties
from cohorts.refusals import Reason
from cohorts.transactions import Overtaken
from cohorts.values import MAX_PROFILE_PROPERTIES, Properties

# A user of a project on simplified ID merge may have any number of devices; nobody asks how many.
_IDS_COUNTED = MAX_IDS_PER_PERSON + 1


@dataclass(frozen=True, slots=True)
class Linked:
    """Who each id belongs to now, and why the claims at these places of the request were refused."""

    persons: dict[str, int]
    refusals: dict[int, Reason] = field(default_factory=dict)


@dataclass(slots=True)
class _Profile:
    """A locked person's profile."""

    properties: Properties
    updated_at: dt.datetime | None


def link_persons(
    cursor: CursorWrapper,
    *,
    project_id: int,
    claims: Sequence[PlacedClaim],
    first_places: Mapping[str, int],
    now: dt.datetime,
) -> Linked:
    """Carry out the claims in their order and return the persons of all ids; an unknown id gets a person of its own.

    `first_places` are the ids that have events, with the place in the request where each first had one. The project
    must be held as by a writer of match keys. Raises Overtaken.
    """
    if not claims:
        persons = persons_of(cursor, project_id=project_id, distinct_ids=first_places.keys(), now=now)
        return Linked(persons)
    found = find_persons(cursor, project_id=project_id, distinct_ids=ids_of_claims(claims) | set(first_places))
    claimed = ids_of_claims(claims)
    known = _known_persons(cursor, project_id, {found[each] for each in claimed if each in found})
    plan = plan_claims(claims, found=found, known=known, first_places=first_places, now=now)
    if not plan.clusters:
        rest = first_places.keys() - found.keys()
        found |= persons_of(cursor, project_id=project_id, distinct_ids=rest, now=now)
        return Linked(found, plan.refusals)
    # All new ids in one statement, in one order: two that each wait for the other's could not both go on.
    in_clusters = {each for cluster in plan.clusters for each in cluster.new_ids}
    alone = first_places.keys() - found.keys() - in_clusters
    found |= _store_new_ids(cursor, project_id, plan.clusters, alone, now)
    return Linked(_carry_out(cursor, project_id, plan.clusters, found, known, now), plan.refusals)


def _carry_out(
    cursor: CursorWrapper,
    project_id: int,
    clusters: Sequence[Cluster],
    found: Mapping[str, int],
    known: Mapping[int, KnownPerson],
    now: dt.datetime,
) -> dict[str, int]:
    """Make each cluster one person and return the persons of all ids in `found`, the new ones included."""
    survivors = [cluster.persons[0] if cluster.persons else found[cluster.canonical] for cluster in clusters]
    survivor_of = {
        person: survivor
        for cluster, survivor in zip(clusters, survivors, strict=True)
        for person in (*cluster.persons, *cluster.leaving)
    }
    losers = {loser for cluster in clusters for loser in cluster.losers}
    profiles = _locked(cursor, project_id, sorted(survivor_of), losers)
    _check_unmoved(
        cursor,
        project_id,
        expected={each: person for each, person in found.items() if person in survivor_of},
        known={person: known[person] for person in survivor_of},
        added={cluster.persons[0]: len(cluster.new_ids) for cluster in clusters if cluster.persons},
    )
    _name(cursor, project_id, [each for each in clusters if each.persons], known)
    merges = [(survivor, each) for survivor, each in zip(survivors, clusters, strict=True) if each.losers]
    if merges:
        _merge(cursor, project_id, merges, profiles, now)
    return {each: survivor_of.get(person, person) for each, person in found.items()}


def _store_new_ids(
    cursor: CursorWrapper, project_id: int, clusters: Sequence[Cluster], alone: AbstractSet[str], now: dt.datetime
) -> dict[str, int]:
    """Store the new ids of the clusters, and those that get a person of their own; return their persons."""
    new = {cluster.canonical: cluster for cluster in clusters if not cluster.persons}
    aliases: dict[str, str | int] = {
        each: cluster.persons[0] if cluster.persons else cluster.canonical
        for cluster in clusters
        for each in cluster.new_ids
        if cluster.persons or each != cluster.canonical
    }
    persons = [NewPerson(canonical, identified_at=cluster.identified_at) for canonical, cluster in new.items()]
    persons += [NewPerson(each) for each in alone]
    if not persons and not aliases:
        return {}
    stored = add_persons(cursor, project_id=project_id, persons=persons, aliases=aliases, now=now)
    if len(stored) < len(persons) + len(aliases):
        raise Overtaken
    return stored


def _known_persons(cursor: CursorWrapper, project_id: int, persons: Collection[int]) -> dict[int, KnownPerson]:
    cursor.execute(
        "SELECT sent.id, person.distinct_id, person.identified_at,"
        " (SELECT count(*) FROM (SELECT FROM cohorts_distinctid AS known"
        " WHERE known.project_id = sent.project_id AND known.person_id = sent.id LIMIT %s) AS known),"
        " person.has_profile"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS sent (project_id, id)"
        " CROSS JOIN LATERAL (SELECT distinct_id, identified_at, properties <> '{}' AS has_profile"
        " FROM cohorts_person AS person"
        " WHERE person.project_id = sent.project_id AND person.id = sent.id LIMIT 1) AS person",
        [_IDS_COUNTED, number_array([project_id] * len(persons)), number_array(sorted(persons))],
    )
    known = {row[0]: KnownPerson(*row[1:]) for row in cursor.fetchall()}
    if len(known) < len(persons):
        raise Overtaken
    return known


def _locked(
    cursor: CursorWrapper, project_id: int, persons: Sequence[int], losers: Collection[int]
) -> dict[int, _Profile]:
    """Lock the persons, one after the other in this order, and return their profiles.

    The losers also against rows that refer to them: a request that has given one of them an id would wait for its
    person, and the loser's deletion for that request. Who gives an id to one of the others is told apart by
    `_check_unmoved`.
    """
    cursor.execute(
        "SELECT sent.id, COALESCE(loser.properties, kept.properties),"
        " COALESCE(loser.profile_updated_at, kept.profile_updated_at)"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::boolean[]) AS sent (project_id, id, is_loser)"
        " LEFT JOIN LATERAL (SELECT properties, profile_updated_at FROM cohorts_person AS person WHERE sent.is_loser"
        " AND person.project_id = sent.project_id AND person.id = sent.id LIMIT 1 FOR UPDATE) AS loser ON true"
        " LEFT JOIN LATERAL (SELECT properties, profile_updated_at FROM cohorts_person AS person"
        " WHERE NOT sent.is_loser AND person.project_id = sent.project_id AND person.id = sent.id"
        " LIMIT 1 FOR NO KEY UPDATE) AS kept ON true"
        " WHERE loser.properties IS NOT NULL OR kept.properties IS NOT NULL",
        [
            number_array([project_id] * len(persons)),
            number_array(persons),
            number_array([person in losers for person in persons]),
        ],
    )
    profiles = {row[0]: _Profile(orjson.loads(row[1]), row[2]) for row in cursor.fetchall()}
    if len(profiles) < len(persons):
        raise Overtaken
    return profiles


def _check_unmoved(
    cursor: CursorWrapper,
    project_id: int,
    *,
    expected: Mapping[str, int],
    known: Mapping[int, KnownPerson],
    added: Mapping[int, int],
) -> None:
    """Raise Overtaken if what was decided from changed before the persons were locked.

    `added` is how many ids this request has already given to a person.
    """
    if find_persons(cursor, project_id=project_id, distinct_ids=expected.keys()) != expected:
        raise Overtaken
    now_known = _known_persons(cursor, project_id, known.keys())
    for person, before in known.items():
        grown = replace(before, id_count=min(before.id_count + added.get(person, 0), _IDS_COUNTED))
        if now_known[person] != grown:
            raise Overtaken


def _name(
    cursor: CursorWrapper, project_id: int, clusters: Sequence[Cluster], known: Mapping[int, KnownPerson]
) -> None:
    """Write the canonical ids that changed: an anonymous person was identified."""
    renamed = [
        cluster
        for cluster in clusters
        if (cluster.canonical, cluster.identified_at)
        != (known[cluster.persons[0]].distinct_id, known[cluster.persons[0]].identified_at)
    ]
    if renamed:
        cursor.execute(
            by_key(
                "UPDATE cohorts_person AS person SET distinct_id = new.distinct_id, identified_at = new.identified_at"
                " FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[])"
                " AS new (project_id, id, distinct_id, identified_at)"
                " WHERE person.project_id = new.project_id AND person.id = new.id"
            ),
            [
                number_array([project_id] * len(renamed)),
                number_array([cluster.persons[0] for cluster in renamed]),
                text_array([cluster.canonical for cluster in renamed]),
                time_array([cluster.identified_at for cluster in renamed]),
            ],
        )


def _merge(
    cursor: CursorWrapper,
    project_id: int,
    merges: Sequence[tuple[int, Cluster]],
    profiles: Mapping[int, _Profile],
    now: dt.datetime,
) -> None:
    """Move ids and profiles to the survivors, keep a redirect for the events, and let the others vanish."""
    nobody = _Profile({}, None)
    redirects = [
        Redirect(
            loser_id=loser,
            winner_id=survivor,
            loser_properties=profiles[loser].properties,
            winner_properties=profiles.get(survivor, nobody).properties,
        )
        for survivor, cluster in merges
        for loser in cluster.losers
    ]
    losers = [redirect.loser_id for redirect in redirects]
    cursor.execute(
        by_key(
            "UPDATE cohorts_distinctid AS known SET person_id = moved.winner_id"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS moved (project_id, loser_id, winner_id)"
            " WHERE known.project_id = moved.project_id AND known.person_id = moved.loser_id"
        ),
        [
            number_array([project_id] * len(losers)),
            number_array(losers),
            number_array([redirect.winner_id for redirect in redirects]),
        ],
    )
    add_redirects(cursor, project_id=project_id, redirects=redirects, now=now)
    # Profiles that stay by themselves, where no distinct_id leads any more.
    apart = {person for _, cluster in merges for person in cluster.leaving if profiles[person].properties}
    if apart:
        cursor.execute(
            "UPDATE cohorts_person SET is_literal = true WHERE project_id = %s AND id = ANY (%s::bigint[])",
            [project_id, number_array(sorted(apart))],
        )
    keep_former_keys(
        cursor,
        project_id=project_id,
        moves=[(each.loser_id, each.winner_id) for each in redirects if each.loser_id not in apart],
    )
    cursor.execute(
        "DELETE FROM cohorts_person WHERE project_id = %s AND id = ANY (%s::bigint[])",
        [project_id, number_array(sorted(set(losers) - apart))],
    )
    united = {
        cluster.persons[0]: _united([profiles[person] for person in cluster.persons])
        for _, cluster in merges
        if any(profiles[person].properties for person in cluster.persons[1:])
    }
    if united:
        _write(cursor, project_id, united)
        maintain_keys(
            cursor,
            project_id=project_id,
            properties=match_properties(cursor, project_id=project_id),
            profiles={person: profile.properties for person, profile in united.items()},
        )


def _united(profiles: Sequence[_Profile]) -> _Profile:
    """Return the first profile with what it lacks and the others have, as far as there is room (contract, 3.5)."""
    properties = dict(profiles[0].properties)
    for profile in profiles[1:]:
        for name, value in profile.properties.items():
            if name not in properties and len(properties) < MAX_PROFILE_PROPERTIES:
                properties[name] = value
    return _Profile(properties, max((each.updated_at for each in profiles if each.updated_at), default=None))


def _write(cursor: CursorWrapper, project_id: int, profiles: Mapping[int, _Profile]) -> None:
    cursor.execute(
        by_key(
            "UPDATE cohorts_person AS person"
            " SET properties = united.properties, profile_updated_at = united.updated_at"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::jsonb[], %s::timestamptz[])"
            " AS united (project_id, id, properties, updated_at)"
            " WHERE person.project_id = united.project_id AND person.id = united.id"
        ),
        [
            number_array([project_id] * len(profiles)),
            number_array(list(profiles)),
            json_array([orjson.dumps(profile.properties).decode() for profile in profiles.values()]),
            time_array([profile.updated_at for profile in profiles.values()]),
        ],
    )
