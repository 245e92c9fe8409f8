"""Descriptions of the parts, a file a family."""
