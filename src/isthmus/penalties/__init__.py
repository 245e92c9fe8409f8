"""Penalties: Omega."""
