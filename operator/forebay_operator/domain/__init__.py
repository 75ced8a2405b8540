"""Pure decisions. Values in, values out: no I/O, no clock, no framework; `step` composes the modules."""
