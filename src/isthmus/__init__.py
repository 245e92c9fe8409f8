"""isthmus: autoencoders that are composed, trained, kept and explained."""

__version__ = "0.1.0"
