"""Jobs that end with a host, jobs elsewhere that call it, and jobs that its successor does not have."""
