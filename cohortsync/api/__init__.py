"""The REST API below `/api/v1/`: typed input at the border, access, one domain call, an answer of a fixed shape.

`api.py` assembles it, `auth.py` lets callers in, `problems.py` says what went wrong, `paging.py` cuts lists into pages;
the rest is one module per noun. The shapes are promises to other programs: fields are added, never renamed or dropped.
"""
