"""wisp: make smoke without fire."""
