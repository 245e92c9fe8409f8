"""Codes: h = code(f(x~))."""
