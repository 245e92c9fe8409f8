"""Metrics, baselines, figures and the one-file report."""
