"""How fast isthmus is, beside what a user would take instead and beside what the machine can do: ratios of one run."""
