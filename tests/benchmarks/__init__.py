"""Measurements, each with the ratio to a floor measured in the same run; `make bench`, not part of `make test`."""
