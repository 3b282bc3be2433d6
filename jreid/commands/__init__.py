"""The verbs of the command line. Everything heavy is imported inside the verbs."""
