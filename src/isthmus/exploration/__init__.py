"""What a fitted model makes of its codes: new examples, paths between two, one unit at a time."""
