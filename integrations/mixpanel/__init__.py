"""Step 1, receive: Mixpanel's inbound wire. Bytes of an SDK -> typed messages; answers to the letter as Mixpanel does.

`endpoints.py` is what the routes have in common, `body.py` turns bytes into records, `events.py`, `profiles.py` and
`groups.py` turn records into the messages of `cohorts/messages.py`, `quota.py` says when a project sends too much,
`cohorts/ingest/` stores them, `answers.py` words the answers. The contract is `contract/mixpanel.md`, section 1.
"""
