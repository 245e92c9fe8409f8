"""Whole jobs from end to end."""
