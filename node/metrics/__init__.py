"""`assay metrics` and `assay traces`: what Prometheus and OpenTelemetry are told, by own processes.

Each is a client of the control socket as every command is, and imports console/ and control/ alone.
"""
