"""Mixpanel's Query API: the cohorts of a project and its people, for tools that export them (step 8, show).

`parameters.py` reads a request, `where.py` an expression, `limits.py` counts queries, `answers.py` words the answers,
`views.py` has the routes. Who is found and how pages fit together is `cohorts/people_sessions.py`. The contract is
`contract/mixpanel.md`, 5.8.
"""
