"""`manage.py up`: the whole product on one machine, with PostgreSQL and Valkey of its own.

`supervisor` starts and watches the processes; `postgres` and `valkey` know their servers; `binaries` and `accounts` say
which programs and as whom; `state` is what other commands find in DATA_DIR. The tests start their servers with the same
modules (tests/servers.py). Nothing here imports Django: `cohortsync.settings` imports `state`.
"""
