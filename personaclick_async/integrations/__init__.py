"""The SDK at home in frameworks and tools: one module each, imported by whoever uses it."""
