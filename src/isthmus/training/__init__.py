"""Training: order of rows, schedules, optimiser, early stopping."""
