"""Which moves a job may make, when it is tried again, which timeouts hold. Pure."""
