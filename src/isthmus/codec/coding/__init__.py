"""From columns of a block to few bytes: an entropy coder, and the models by which it is told what is likely."""
