"""CT volumes: geometry, reading and writing."""
