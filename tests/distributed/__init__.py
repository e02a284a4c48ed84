"""Syncs on several processes, as they run on several machines."""
