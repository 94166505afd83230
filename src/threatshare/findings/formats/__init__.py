"""The formats of findings: a file or a few for each, each a mapping from what a tool writes to events and roles."""
