"""Batch syncs: records from files, queries and iterables to the platform, nothing lost."""
