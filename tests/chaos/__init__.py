"""Long runs that kill real processes; `make chaos`, not part of `make test`."""
