"""Tables, figures, one-file HTML. Does not know how numbers came about."""
