"""The demo of `make up`: a small shop with customers, what they did, cohorts of them and a connection to the sandbox.

`people` and `visits` make it up, the same on every installation but for the dates, which lead up to now; `cohorts` says
which cohorts there are. `filling` brings it all in by the ways that a customer's data takes, for `manage.py demo`.
"""
