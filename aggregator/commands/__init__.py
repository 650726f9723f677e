"""The verbs of the command line; each module adds its own to the app."""
