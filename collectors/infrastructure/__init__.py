"""Infrastructure as code: what templates, states, manifests and node lists say of hosts; one module each."""
