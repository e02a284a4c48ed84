"""The models: what a caller sends, and what the service answers. No I/O."""
