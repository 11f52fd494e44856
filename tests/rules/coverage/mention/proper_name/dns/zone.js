D("example.net", REG_NONE,
	A("gluck", "192.0.2.7"),
	A("merkel", "192.0.2.8"),
);
