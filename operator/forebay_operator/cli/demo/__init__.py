"""`forebay demo`: from nothing to a served model, a traffic peak absorbed, and back to zero, in under two minutes."""
