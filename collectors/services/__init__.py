"""Programs of a host whose configuration names other hosts: mail, time, directories, databases, backups, names."""
