"""The real clients of Mixpanel as test peers: recorded bytes in `make test`, live in `make clients`."""
