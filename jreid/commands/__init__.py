"""What the verbs of the command line do. Everything heavy is imported inside the verbs."""
