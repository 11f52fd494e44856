{ networking.hostName = "merkel"; environment.PGHOST = "gluck"; }
