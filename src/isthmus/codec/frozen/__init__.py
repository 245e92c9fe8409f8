"""Networks in whole numbers: the same bits on every machine, for any number of rows at a time."""
