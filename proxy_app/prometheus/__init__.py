"""`/metrics`: everything that can be counted, for a Prometheus server. One module a source."""
