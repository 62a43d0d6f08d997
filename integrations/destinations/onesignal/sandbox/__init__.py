"""The sandbox: a stateful OneSignal over real HTTP, a process of its own (source: contract/onesignal.md).

Demos, tests and benchmarks deliver to it instead of to api.onesignal.com. It keeps apps, users, subscriptions, aliases,
tags and segments, answers with the documented statuses and bodies, and can be made to fail (`faults.py`). Nothing in
this package imports Django: `python -m integrations.destinations.onesignal.sandbox --port N --state-dir DIR`.

A request goes `server.py` (connections) -> `answering.py` (limits, faults) -> `routes.py` -> `calls/` (one module per
family of endpoints) -> `state.py` (changes, kept by `journal.py`) over `apps.py`, `users.py`, `tags.py`, `segments.py`.
What OneSignal does not publish is marked "ours" where it is decided.
"""
