"""Examples: a shop's data to try the SDK with."""
