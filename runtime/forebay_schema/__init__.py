"""The contracts between Forebay's processes: what crosses a process boundary is defined here and nowhere else.

Pure data: pydantic models and constants, no I/O, but for what every process does alike: `logs`, and how sockets listen
(`network`). Every JSON document carries `"schema": "forebay.dev/<name>/v1"`; readers
ignore fields they do not know and refuse a major version they do not know.
"""
