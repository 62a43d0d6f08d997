"""Step 1, receive: Mixpanel's inbound wire. Bytes of an SDK -> typed messages; answers to the letter as Mixpanel does.

`body.py` turns bytes into records, `events.py` and `profiles.py` turn records into the messages of
`cohorts/messages.py`, `cohorts/ingest/` stores them, `answers.py` words the answers. The contract is
`contract/mixpanel.md`, section 1.
"""
