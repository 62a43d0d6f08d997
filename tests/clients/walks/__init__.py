"""The walks: programs of their own that make a client's calls, part by part."""
