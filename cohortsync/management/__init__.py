"""The assembly's commands."""
