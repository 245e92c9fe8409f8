"""Rows stored small with what a fitted model knows of them, and given back exactly or within a stated error."""
