"""Tests of where records come from."""
