"""One torch module and one objective over six families of parts."""
