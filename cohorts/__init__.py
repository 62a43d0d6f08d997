"""The core: projects and members, persons and identity, events, cohorts. Knows no vendor and no HTTP client."""
