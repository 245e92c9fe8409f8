"""Networks: encoder f and decoder g."""
