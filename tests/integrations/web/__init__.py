"""Tests of the SDK inside web applications, on real servers."""
