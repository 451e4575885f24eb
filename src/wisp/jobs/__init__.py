"""The commands as jobs: each reads and writes directories, and none knows another."""
