"""Traces and metrics, with the real OpenTelemetry SDK."""
