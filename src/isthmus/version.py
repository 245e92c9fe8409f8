"""The version, which model files and run folders name too."""

__version__ = "0.1.0"
