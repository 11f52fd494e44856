{ networking.hostName = "gluck"; networking.domain = "example.net"; }
