"""The simulated world: virtual time, the same course of events for the same story.

`story` says what happens, `drawing` draws a random one from a seed. `world` lets it happen with models of what there is:
`fleet`, `server` and `replica`, `gateway`, `conversions`, `arrivals`, `requests`, all on one `timeline`; `delivery` and
`disasters` make things go wrong as `faults` tell. `simulation` runs the control step in it, and checks after each step
(`invariants`, on one `moment`; `steadiness`, over several) and at the end (`convergence`). `narration` and `report` tell it.
"""
