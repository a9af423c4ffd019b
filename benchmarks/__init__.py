"""Speed and memory of the engine beside its peers, each by one command; see README.md here."""
