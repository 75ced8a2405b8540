"""The sandbox that hostile files are opened in: Landlock, seccomp, resource limits, and a watchdog in the parent."""
