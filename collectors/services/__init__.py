"""Programs of a host whose configuration names other hosts: mail, time, directories, databases, backups, names.

None of these collectors says that it provides RUNS_ON, MOUNTS or WATCHES, though their facts hold such edges: whoever
has seen a host's `ntp.conf` has not looked at its jobs, its mounts or its alerts.
"""
