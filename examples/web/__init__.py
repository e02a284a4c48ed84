"""Shops that greet their visitors, one for each way of writing a web backend."""
