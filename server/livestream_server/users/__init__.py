"""The users that streams mention: this service's read model of the user service's profiles."""
