"""The protocol: calls to requests, and answers to models or errors. No I/O."""
